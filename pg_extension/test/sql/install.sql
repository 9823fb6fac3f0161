-- As `sqlml install` does it: the catalogue, then the extension.
SET client_min_messages = warning;
\set parts `cat "$PG_ABS_SRCDIR"/../../sql/[0-9]*.sql`
\o /dev/null
:parts
\o
CREATE EXTENSION sqlml;
SELECT proname, pg_get_function_arguments(oid), provolatile, proparallel
  FROM pg_proc
 WHERE pronamespace = 'sqlml'::regnamespace AND proname IN ('predict', 'predict_proba')
 ORDER BY 1, 2;
