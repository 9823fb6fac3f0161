\echo Use "CREATE EXTENSION sqlml" to load this file. \quit

-- What the planner asks about the functions below, to turn their calls into calls on columns.
CREATE FUNCTION sqlml.predict_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'sqlml_predict_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION sqlml.predict_support(internal) IS 'internal: planner support of predict';

CREATE FUNCTION sqlml.predict_proba_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'sqlml_predict_proba_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION sqlml.predict_proba_support(internal) IS
    'internal: planner support of predict_proba';

-- COST 100, since a prediction takes 0.2 to 3 us and an operator about 10 ns.
-- STABLE, not IMMUTABLE: replacing a model changes the answer. Not STRICT, so that the
-- planner never drops a call whose class or type is NULL.
CREATE FUNCTION sqlml.predict(model text, features anyelement)
RETURNS text
AS 'MODULE_PATHNAME', 'sqlml_predict'
LANGUAGE C STABLE PARALLEL SAFE COST 100 SUPPORT sqlml.predict_support;
COMMENT ON FUNCTION sqlml.predict(text, anyelement) IS
    'prediction of a model for a row or a JSON object, as text';

CREATE FUNCTION sqlml.predict(model text, features anyelement, type anycompatible)
RETURNS anycompatible
AS 'MODULE_PATHNAME', 'sqlml_predict'
LANGUAGE C STABLE PARALLEL SAFE COST 100 SUPPORT sqlml.predict_support;
COMMENT ON FUNCTION sqlml.predict(text, anyelement, anycompatible) IS
    'prediction of a model for a row or a JSON object, in the type of the last argument';

CREATE FUNCTION sqlml.predict_proba(model text, features anyelement, class text)
RETURNS double precision
AS 'MODULE_PATHNAME', 'sqlml_predict_proba'
LANGUAGE C STABLE PARALLEL SAFE COST 100 SUPPORT sqlml.predict_proba_support;
COMMENT ON FUNCTION sqlml.predict_proba(text, anyelement, text) IS
    'probability of a class of a model for a row or a JSON object';

-- STRICT: of a NULL row there is nothing to say. The cost is what 100 trees take, in predict's.
CREATE FUNCTION sqlml.explain_prediction(model text, features anyelement)
RETURNS TABLE (class text, "column" text, contribution double precision)
AS 'MODULE_PATHNAME', 'sqlml_explain_prediction'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 40000 ROWS 20;
COMMENT ON FUNCTION sqlml.explain_prediction(text, anyelement) IS
    'what each column of a row or a JSON object adds to the raw score of a class';

-- What plans call: the columns of one version, in its order. The first argument is for EXPLAIN.
CREATE FUNCTION sqlml.predict_columns(
    model text, version_id integer, type anyelement, VARIADIC columns "any")
RETURNS anyelement
AS 'MODULE_PATHNAME', 'sqlml_predict_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION sqlml.predict_columns(text, integer, anyelement, "any") IS
    'internal: what a plan calls for sqlml.predict';

CREATE FUNCTION sqlml.predict_proba_columns(
    model text, version_id integer, class text, VARIADIC columns "any")
RETURNS double precision
AS 'MODULE_PATHNAME', 'sqlml_predict_proba_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION sqlml.predict_proba_columns(text, integer, text, "any") IS
    'internal: what a plan calls for sqlml.predict_proba';

CREATE FUNCTION sqlml.forget_plans()
RETURNS void
AS 'MODULE_PATHNAME', 'sqlml_forget_plans'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION sqlml.forget_plans() IS
    'internal: have every session plan anew what predicts, when the transaction commits';

CREATE FUNCTION sqlml.in_transaction_block()
RETURNS boolean
AS 'MODULE_PATHNAME', 'sqlml_in_transaction_block'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION sqlml.in_transaction_block() IS
    'whether the session is in a transaction block';

CREATE FUNCTION sqlml.is_client_gone()
RETURNS boolean
AS 'MODULE_PATHNAME', 'sqlml_is_client_gone'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION sqlml.is_client_gone() IS
    'internal: whether the connection to the client of this session is broken';

CREATE FUNCTION sqlml.tell_client(message text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'sqlml_tell_client'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION sqlml.tell_client(text) IS
    'internal: raise a notice, and say whether the connection was broken';

CREATE FUNCTION sqlml.hold_cancel(is_held boolean)
RETURNS void
AS 'MODULE_PATHNAME', 'sqlml_hold_cancel'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION sqlml.hold_cancel(boolean) IS
    'internal: whether a cancel request has to wait; an error sets it free';
