/*
 * glue.h
 *	  What the files between PostgreSQL and the scoring core share.
 */
#ifndef SQLML_GLUE_H
#define SQLML_GLUE_H

#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#include "sqlml_core.h"

/* hidden, lest a name of PostgreSQL's own take a call */
#pragma GCC visibility push(hidden)

/* catalogue.c: what the tables of sqlml say, asked as the calling user */
typedef struct ModelFacts
{
	char	   *label;			/* such as "churn version 3" */
	char	   *schema_name;
	char	   *model_name;
	Oid			owner;
} ModelFacts;

extern int64 look_up_version(const char *model_name);
extern bytea *read_artifact(int64 version_id, ModelFacts *facts);
extern Jsonb *read_golden(int64 version_id);
extern void refuse_version(int64 version_id);
extern Oid	find_predict_function(const ModelFacts *facts);
extern bool may_execute(Oid function);
extern Oid	get_version_relation(void);
extern Oid	get_model_relation(void);

/* versions.c: which version answers, kept until something changes it */
extern void watch_catalogue(void);
extern int64 find_version(const char *model_name);
extern void note_planned_version(void);

/* cache.c: opened artifacts, by version, for the life of the backend */
typedef struct CachedModel CachedModel;

extern int	cache_size_kb;

extern CachedModel *pin_model(int64 version_id, const char *model_name);
extern void unpin_model(CachedModel *cached);
extern const SqlmlModel *get_core_model(const CachedModel *cached);
extern const ModelFacts *get_model_facts(const CachedModel *cached);
extern bool is_current(const CachedModel *cached, int64 version_id);

/* refuse.c: what is wrong with a column, when planned and when run */
extern void refuse_missing_column(const char *name, const char *first_name,
								  const char *model_name);
extern void refuse_double_column(const char *name);
extern void refuse_column_type(const char *name, Oid type, const char *model_name,
							   const SqlmlColumn *expected);

/* convert.c: one table of which SQL types a column takes and how */
typedef enum Conversion
{
	CONVERT_NOT_POSSIBLE,
	CONVERT_INT4,				/* for each from here to texts columns.c has a loop */
	CONVERT_INT8,
	CONVERT_FLOAT4,
	CONVERT_FLOAT8,
	CONVERT_TEXT,
	CONVERT_INT2,
	CONVERT_NUMERIC,
	CONVERT_BOOL,
	CONVERT_DATE,
	CONVERT_TIMESTAMP,
	CONVERT_BPCHAR,
	CONVERT_NAME,
	CONVERT_OUTPUT,				/* by the type's output function */
	CONVERT_INT2_ARRAY,
	CONVERT_INT4_ARRAY,
	CONVERT_INT8_ARRAY,
	CONVERT_FLOAT4_ARRAY,
	CONVERT_FLOAT8_ARRAY,
	CONVERT_NUMERIC_ARRAY
} Conversion;

extern Conversion find_conversion(Oid type, SqlmlKind kind);
extern void convert_datum(Conversion conversion, FmgrInfo *output, Datum datum,
						  SqlmlValue *value);
extern void convert_json(const SqlmlColumn *column, const char *name, const char *model_name,
						 const JsonbValue *json, SqlmlValue *value);
extern bool json_to_double(const JsonbValue *json, double *number);
extern const char *json_type_name(const JsonbValue *json);
extern char *text_to_server(SqlmlText text);
extern SqlmlText text_from_server(const char *data, int size);

/* elements.c: arrays of numbers become doubles, NaN for NULL */
extern SqlmlArray read_elements(Conversion conversion, Datum datum);
extern SqlmlArray read_json_elements(const SqlmlColumn *column, const char *name,
									 const char *model_name, JsonbContainer *json);

/* numeric.c: faster than the cast, and equal */
extern double numeric_to_double(Datum datum);

/* golden.c: the answers that a version was published with */
extern void check_golden(const SqlmlModel *model, const char *model_name, int64 version_id);

/* row.c: a row or a JSON object becomes the core's values, columns matched by name */
typedef struct RowPlan RowPlan;

extern RowPlan *make_row_plan(const SqlmlModel *model, const char *model_name, Oid type);
extern const SqlmlValue *read_row(RowPlan *plan, Datum features);

/* result.c: a prediction in the type that was asked for */
typedef struct ResultPlan ResultPlan;

extern ResultPlan *make_result_plan(const SqlmlModel *model, Oid type);
extern Datum make_result(ResultPlan *plan, const double *scores);

/* scorer.c: a version made ready to score rows */
typedef struct Scorer
{
	CachedModel *cached;		/* pinned, or NULL */
	MemoryContextCallback unpin;
	MemoryContext context;		/* everything from here on, reset with the version */
	char	   *model_name;		/* for messages */
	const SqlmlModel *model;
	SqlmlWorkspace *workspace;
	double	   *scores;
	ResultPlan *result;			/* made with the first prediction */
	char	   *label;			/* of the last probability */
	uint32_t	class_index;
} Scorer;

extern void init_scorer(Scorer *scorer, MemoryContext context);
extern void close_scorer(Scorer *scorer);
extern void open_scorer(Scorer *scorer, int64 version_id, const char *model_name);
extern void score_values(Scorer *scorer, const SqlmlValue *values);
extern Datum get_prediction(Scorer *scorer, FmgrInfo *flinfo);
extern Datum get_probability(Scorer *scorer, const text *label);
extern uint32_t find_class(const SqlmlModel *model, const char *model_name, const text *label);
extern bool is_text(const char *string, const text *packed);

/* predict.c: calls whose arguments begin with a model and a row */
extern Scorer *read_call(FunctionCallInfo fcinfo, const SqlmlValue **values);
extern char *make_display_name(const char *argument);

/* columns.c: arguments of its functions before the columns */
#define ARGUMENTS_BEFORE_COLUMNS 3

#pragma GCC visibility pop

#endif							/* SQLML_GLUE_H */
