/*
 * scorer.c
 *	  A version made ready to score rows, for as long as a call site lives.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "glue.h"

#define MAX_LISTED_CLASSES 20

static void
unpin_scorer(void *argument)
{
	Scorer	   *scorer = argument;

	if (scorer->cached != NULL)
		unpin_model(scorer->cached);
	scorer->cached = NULL;
}

/*
 * Start a scorer without a model, zeroed by the caller, which dies with the
 * memory context
 */
void
init_scorer(Scorer *scorer, MemoryContext context)
{
	scorer->context = AllocSetContextCreate(context, "sqlml scorer", ALLOCSET_SMALL_SIZES);
	scorer->unpin.func = unpin_scorer;
	scorer->unpin.arg = scorer;
	MemoryContextRegisterResetCallback(context, &scorer->unpin);
}

/*
 * Let go of the version. What was made for it in the scorer's context is gone.
 */
void
close_scorer(Scorer *scorer)
{
	unpin_scorer(scorer);
	MemoryContextReset(scorer->context);
	scorer->model = NULL;
	scorer->result = NULL;
	scorer->label = NULL;
}

/*
 * Turn to a version
 */
void
open_scorer(Scorer *scorer, int64 version_id, const char *model_name)
{
	MemoryContext caller;

	close_scorer(scorer);
	caller = MemoryContextSwitchTo(scorer->context);
	scorer->model_name = pstrdup(model_name);
	scorer->cached = pin_model(version_id, scorer->model_name);
	scorer->model = get_core_model(scorer->cached);
	scorer->workspace = sqlml_make_workspace(scorer->model,
											 palloc(sqlml_workspace_size(scorer->model)));
	scorer->scores = palloc0(sizeof(double) * scorer->model->output_count);
	MemoryContextSwitchTo(caller);
}

void
score_values(Scorer *scorer, const SqlmlValue *values)
{
	sqlml_score(scorer->model, values, scorer->workspace, scorer->scores);
}

/*
 * The prediction in the type that the call site asks for
 */
Datum
get_prediction(Scorer *scorer, FmgrInfo *flinfo)
{
	if (scorer->result == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(scorer->context);

		scorer->result = make_result_plan(scorer->model, get_fn_expr_rettype(flinfo));
		MemoryContextSwitchTo(caller);
	}
	return make_result(scorer->result, scorer->scores);
}

static char *
list_classes(const SqlmlModel *model)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint32_t k = 0; k < Min(model->class_count, MAX_LISTED_CLASSES); k++)
		appendStringInfo(&list, "%s%s", k > 0 ? ", " : "", text_to_server(model->classes[k]));
	appendStringInfoString(&list, model->class_count > MAX_LISTED_CLASSES ? ", ..." : ".");
	return list.data;
}

/*
 * The index of a class; an error where the model has no such class
 */
uint32_t
find_class(const SqlmlModel *model, const char *model_name, const text *label)
{
	SqlmlText	utf8 = text_from_server(VARDATA_ANY(label), (int) VARSIZE_ANY_EXHDR(label));
	int64_t		class_index;

	if (model->problem == SQLML_REGRESSION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("model \"%s\" is a regression and has no probabilities", model_name),
				 errhint("Use sqlml.predict for its value.")));
	class_index = sqlml_find_class(model, utf8);
	if (class_index < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" has no class \"%s\"", model_name, text_to_cstring(label)),
				 errdetail("The classes are: %s", list_classes(model))));
	return (uint32_t) class_index;
}

/*
 * The probability of a class
 */
Datum
get_probability(Scorer *scorer, const text *label)
{
	if (!is_text(scorer->label, label))
	{
		scorer->class_index = find_class(scorer->model, scorer->model_name, label);
		if (scorer->label != NULL)
			pfree(scorer->label);
		scorer->label = NULL;
		scorer->label = MemoryContextStrdup(scorer->context, text_to_cstring(label));
	}
	return Float8GetDatum(sqlml_probability(scorer->model, scorer->scores, scorer->class_index));
}

/*
 * Whether a text is this string
 */
bool
is_text(const char *string, const text *packed)
{
	return string != NULL && strlen(string) == VARSIZE_ANY_EXHDR(packed) &&
		memcmp(string, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed)) == 0;
}
