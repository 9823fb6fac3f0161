-- Remove what sql_only.sql made besides the functions that an extension replaces.
DROP FUNCTION IF EXISTS sqlml.evaluate(text, anyelement);
DROP FUNCTION IF EXISTS sqlml.check_features(text, jsonb, jsonb, boolean);
DROP FUNCTION IF EXISTS sqlml.check_value(text, jsonb, jsonb);
DROP FUNCTION IF EXISTS sqlml.json_type_name(jsonb);
DROP FUNCTION IF EXISTS sqlml.json_expression(jsonb);
DROP FUNCTION IF EXISTS sqlml.round_to_real(double precision);
DROP FUNCTION IF EXISTS sqlml.run_model_sql(integer, text, jsonb);
