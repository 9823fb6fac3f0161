/*
 * versions.c
 *	  Which version answers for a model, kept for the life of the backend.
 *
 * An answer holds until a message says that sqlml.model, a function, a role, a
 * membership or a schema changed; the trigger on sqlml.model sends the first.
 * In REPEATABLE READ and SERIALIZABLE the transaction's snapshot answers, and
 * nothing is kept.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "glue.h"

#if PG_VERSION_NUM >= 170000
typedef SearchPathMatcher SearchPath;
#define get_search_path GetSearchPathMatcher
#define is_search_path SearchPathMatchesCurrentEnvironment
#else
typedef OverrideSearchPath SearchPath;
#define get_search_path GetOverrideSearchPath
#define is_search_path OverrideSearchPathMatchesCurrent
#endif

/* Beyond it all are forgotten. A session seldom uses more models. */
#define MAX_ANSWERS 100

typedef struct Answer
{
	char	   *model_name;		/* as the query writes it */
	Oid			user;
	SearchPath *search_path;
	int64		version_id;
} Answer;

static Answer *answers = NULL;	/* MAX_ANSWERS of them, in their own context */
static MemoryContext answer_context = NULL;
static int	answer_count = 0;
static Oid	model_relation = InvalidOid;

/* Counts what may change an answer */
static uint64 change_count = 0;
static uint64 answered_at = 0;

/* Of the current transaction. Before the library was loaded anything may have changed. */
static bool has_changed = true;
static bool has_planned = false;

static void
note_change(void)
{
	change_count++;
	/* at the start of a transaction it comes before any snapshot */
	if (IsTransactionState())
		has_changed = true;
}

static void
note_relation_change(Datum argument, Oid relation)
{
	(void) argument;
	if (relation == InvalidOid || relation == model_relation || model_relation == InvalidOid)
		note_change();
}

static void
note_catalogue_change(Datum argument, int cache, uint32 hash)
{
	(void) argument;
	(void) cache;
	(void) hash;
	note_change();
}

/*
 * A plan is built with a version before PostgreSQL knows what the plan depends on. So a message
 * that came meanwhile has passed it by, and so has one that a transaction, which plans with
 * the version of its own snapshot, got before it planned. Either plan may not outlive the
 * transaction. That is rare enough to forget all plans.
 */
static void
end_transaction(XactEvent event, void *argument)
{
	(void) argument;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (has_planned && has_changed)
		ResetPlanCache();
	has_planned = false;
	has_changed = false;
}

/*
 * Hear of what changes answers, from the loading of the library on
 */
void
watch_catalogue(void)
{
	static const int CACHES[] = {PROCOID, NAMESPACEOID, AUTHOID, AUTHMEMROLEMEM};

	CacheRegisterRelcacheCallback(note_relation_change, (Datum) 0);
	for (size_t i = 0; i < lengthof(CACHES); i++)
		CacheRegisterSyscacheCallback(CACHES[i], note_catalogue_change, (Datum) 0);
	RegisterXactCallback(end_transaction, NULL);
}

/*
 * Say that a plan is being made with a version
 */
void
note_planned_version(void)
{
	has_planned = true;
}

static void
forget_answers(void)
{
	if (answer_context == NULL)
		answer_context = AllocSetContextCreate(TopMemoryContext, "sqlml versions",
											   ALLOCSET_SMALL_SIZES);
	answers = NULL;
	answer_count = 0;
	MemoryContextReset(answer_context);
	answers = MemoryContextAlloc(answer_context, sizeof(Answer) * MAX_ANSWERS);
	answered_at = change_count;
}

static void
keep_answer(const char *model_name, int64 version_id)
{
	Answer	   *answer;

	if (answer_count == MAX_ANSWERS)
		forget_answers();
	answer = &answers[answer_count];
	answer->model_name = MemoryContextStrdup(answer_context, model_name);
	answer->user = GetUserId();
	answer->search_path = get_search_path(answer_context);
	answer->version_id = version_id;
	answer_count++;
}

/*
 * Find the version that answers for a model now
 */
int64
find_version(const char *model_name)
{
	uint64		asked_at;
	int64		version_id;

	AcceptInvalidationMessages();
	if (IsolationUsesXactSnapshot())
		return look_up_version(model_name);
	if (answers == NULL || answered_at != change_count)
		forget_answers();
	for (int i = 0; i < answer_count; i++)
		if (answers[i].user == GetUserId() && strcmp(answers[i].model_name, model_name) == 0 &&
			is_search_path(answers[i].search_path))
			return answers[i].version_id;
	model_relation = get_model_relation();
	asked_at = change_count;
	version_id = look_up_version(model_name);
	/* what changed while we asked may have come too late for the answer */
	if (asked_at == change_count && answered_at == change_count)
		keep_answer(model_name, version_id);
	return version_id;
}
