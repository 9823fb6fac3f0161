/*
 * cache.c
 *	  Opened artifacts of the backend.
 *
 * A version never changes, so its number is the key. A model in use is pinned;
 * the others go, least recently used first, when sqlml.cache_size is passed.
 * Numbers may return when the table of versions is dropped and made again,
 * which an invalidation message tells us.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "glue.h"

struct CachedModel
{
	dlist_node	node;
	int64		version_id;
	MemoryContext context;
	ModelFacts	facts;
	SqlmlModel *model;
	Size		size;
	int			pins;
	bool		is_stale;
};

int			cache_size_kb;

/* Most recently used first */
static dlist_head cached_models = DLIST_STATIC_INIT(cached_models);
static Size cached_size = 0;
static Oid	version_relation = InvalidOid;

static void
forget_model(CachedModel *cached)
{
	dlist_delete(&cached->node);
	cached_size -= cached->size;
	MemoryContextDelete(cached->context);
}

static void
forget_unused(void)
{
	dlist_iter	at;

	for (at.cur = dlist_is_empty(&cached_models) ? NULL : dlist_tail_node(&cached_models);
		 at.cur != NULL;)
	{
		CachedModel *cached = dlist_container(CachedModel, node, at.cur);
		bool		is_over = cached_size > (Size) cache_size_kb * 1024;

		at.cur = dlist_has_prev(&cached_models, at.cur)
			? dlist_prev_node(&cached_models, at.cur) : NULL;
		if (cached->pins == 0 && (is_over || cached->is_stale))
			forget_model(cached);
	}
}

/* A relcache callback must not free anything: it comes at any moment */
static void
note_invalidation(Datum argument, Oid relation)
{
	dlist_iter	iter;

	(void) argument;
	if (relation != InvalidOid && relation != version_relation)
		return;
	dlist_foreach(iter, &cached_models)
		dlist_container(CachedModel, node, iter.cur)->is_stale = true;
}

static void *
allocate(void *argument, size_t size)
{
	if (!AllocHugeSizeIsValid(size))
		return NULL;
	return MemoryContextAllocExtended(argument, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
release(void *argument, void *pointer)
{
	(void) argument;
	pfree(pointer);
}

static void
report_artifact(const SqlmlError *error, const char *model_name)
{
	if (error->status == SQLML_NO_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while opening model \"%s\".", model_name)));
	if (error->status == SQLML_UNSUPPORTED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("artifact of model \"%s\" cannot be read", model_name),
				 errdetail("%s.", error->message),
				 errhint("Update sqlml on this server, or train the model again.")));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("artifact of model \"%s\" is damaged", model_name),
			 errdetail("%s.", error->message),
			 errhint("Train the model again.")));
}

/*
 * Open a version in a memory context of its own, which an error takes away
 */
static CachedModel *
load_model(int64 version_id, const char *model_name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sqlml model",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	CachedModel *cached = palloc0(sizeof(CachedModel));
	bytea	   *artifact = read_artifact(version_id, &cached->facts);
	SqlmlAllocator allocator = {allocate, release, context};
	SqlmlError	error;

	cached->version_id = version_id;
	cached->context = context;
	cached->model = sqlml_open((const uint8_t *) VARDATA(artifact), VARSIZE(artifact) - VARHDRSZ,
							   &allocator, &error);
	if (cached->model == NULL)
		report_artifact(&error, model_name);
	check_golden(cached->model, model_name, version_id);
	cached->size = MemoryContextMemAllocated(context, true);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, TopMemoryContext);
	return cached;
}

static CachedModel *
find_model(int64 version_id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &cached_models)
	{
		CachedModel *cached = dlist_container(CachedModel, node, iter.cur);

		if (is_current(cached, version_id))
			return cached;
	}
	return NULL;
}

/*
 * Get a version and keep it from being forgotten until unpin_model
 */
CachedModel *
pin_model(int64 version_id, const char *model_name)
{
	static bool is_registered = false;
	CachedModel *cached = find_model(version_id);

	if (!is_registered)
	{
		CacheRegisterRelcacheCallback(note_invalidation, (Datum) 0);
		is_registered = true;
	}
	if (cached == NULL)
	{
		version_relation = get_version_relation();
		cached = load_model(version_id, model_name);
		cached_size += cached->size;
	}
	else
		dlist_delete(&cached->node);
	dlist_push_head(&cached_models, &cached->node);
	cached->pins++;
	forget_unused();
	return cached;
}

void
unpin_model(CachedModel *cached)
{
	cached->pins--;
	forget_unused();
}

const SqlmlModel *
get_core_model(const CachedModel *cached)
{
	return cached->model;
}

const ModelFacts *
get_model_facts(const CachedModel *cached)
{
	return &cached->facts;
}

bool
is_current(const CachedModel *cached, int64 version_id)
{
	return cached->version_id == version_id && !cached->is_stale;
}
