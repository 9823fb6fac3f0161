-- The functions that predict, on a server that has the extension sqlml_plpython and not
-- the extension sqlml.

CREATE OR REPLACE FUNCTION sqlml.predict(model text, features anyelement)
RETURNS text
LANGUAGE sql STABLE COST 10000
AS $$ SELECT sqlml_plpython.predict(model, features) $$;
COMMENT ON FUNCTION sqlml.predict(text, anyelement) IS
    'prediction of a model for a row or a JSON object, as text';

CREATE OR REPLACE FUNCTION sqlml.predict(model text, features anyelement, type anycompatible)
RETURNS anycompatible
LANGUAGE sql STABLE COST 10000
AS $$ SELECT sqlml_plpython.predict(model, features, type) $$;
COMMENT ON FUNCTION sqlml.predict(text, anyelement, anycompatible) IS
    'prediction of a model for a row or a JSON object, in the type of the last argument';

CREATE OR REPLACE FUNCTION sqlml.predict_proba(model text, features anyelement, class text)
RETURNS double precision
LANGUAGE sql STABLE COST 10000
AS $$ SELECT sqlml_plpython.predict_proba(model, features, class) $$;
COMMENT ON FUNCTION sqlml.predict_proba(text, anyelement, text) IS
    'probability of a class of a model for a row or a JSON object';

CREATE OR REPLACE FUNCTION sqlml.in_transaction_block()
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$ SELECT sqlml_plpython.in_transaction_block() $$;
COMMENT ON FUNCTION sqlml.in_transaction_block() IS
    'whether the session is in a transaction block';
