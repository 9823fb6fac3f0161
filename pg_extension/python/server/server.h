/*
 * server.h
 *	  What the files share that run in a backend of PostgreSQL.
 *
 * An error of the server must not jump over frames of Python. Whatever may
 * raise one therefore runs in guard(), and nothing in there calls Python.
 */
#ifndef SQLML_SERVER_H
#define SQLML_SERVER_H

#include "postgres.h"

#include "utils/portal.h"

#include "glue.h"
#include "scoring.h"

#pragma GCC visibility push(hidden)

/* guard.c: run an action in a subtransaction; its error becomes a ScoringError */
extern bool guard(const ModuleState *state, void (*action) (void *argument), void *argument);

/* receiver.c: takes the rows of a query, scores them and keeps the answers */
typedef struct Summary
{
	uint64		row_count;
	double		sum;
	double		minimum;
	double		maximum;
} Summary;

typedef struct Receiver Receiver;

typedef struct Wanted
{
	const char *key;			/* name of a column in UTF-8, or NULL */
	int64_t		class_index;	/* whose probability is wanted, or -1 */
} Wanted;

extern Receiver *make_receiver(Portal portal, const SqlmlModel *model, const char *model_name,
							   Row row, Wanted wanted);

/* Score up to so many rows; false when there are no more */
extern bool receive_batch(Receiver *receiver, Portal portal, long row_count);

/* The last batch as literals of text[]; no keys where none were wanted */
extern uint64 get_batch(const Receiver *receiver, SqlmlText *keys, SqlmlText *answers);

/* Score all rows; a summary for each class, or one of the values of a regression */
extern const Summary *receive_summary(Receiver *receiver, Portal portal);

#pragma GCC visibility pop

#endif							/* SQLML_SERVER_H */
