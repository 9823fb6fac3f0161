\echo Use "CREATE EXTENSION sqlml" to load this file. \quit

-- STABLE, not IMMUTABLE: replacing a model changes the answer. Not STRICT, so that the
-- planner never drops a call whose class or type is NULL.
CREATE FUNCTION sqlml.predict(model text, features anyelement)
RETURNS text
AS 'MODULE_PATHNAME', 'sqlml_predict'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION sqlml.predict(text, anyelement) IS
    'prediction of a model for a row or a JSON object, as text';

CREATE FUNCTION sqlml.predict(model text, features anyelement, type anycompatible)
RETURNS anycompatible
AS 'MODULE_PATHNAME', 'sqlml_predict'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION sqlml.predict(text, anyelement, anycompatible) IS
    'prediction of a model for a row or a JSON object, in the type of the last argument';

CREATE FUNCTION sqlml.predict_proba(model text, features anyelement, class text)
RETURNS double precision
AS 'MODULE_PATHNAME', 'sqlml_predict_proba'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION sqlml.predict_proba(text, anyelement, text) IS
    'probability of a class of a model for a row or a JSON object';

CREATE FUNCTION sqlml.in_transaction_block()
RETURNS boolean
AS 'MODULE_PATHNAME', 'sqlml_in_transaction_block'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION sqlml.in_transaction_block() IS
    'whether the session is in a transaction block';
