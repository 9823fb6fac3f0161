-- Make room for the extension sqlml where plpython_only.sql put functions of the same names.
DROP FUNCTION IF EXISTS sqlml.predict(text, anyelement);
DROP FUNCTION IF EXISTS sqlml.predict(text, anyelement, anycompatible);
DROP FUNCTION IF EXISTS sqlml.predict_proba(text, anyelement, text);
DROP FUNCTION IF EXISTS sqlml.in_transaction_block();
