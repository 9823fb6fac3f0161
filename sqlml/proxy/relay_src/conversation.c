/*
 * conversation.c
 *	  Which reply of the server belongs to which message of the client.
 */
#include "conversation.h"

#include <stdlib.h>
#include <string.h>

void
init_conversation(Conversation *conversation)
{
	memset(conversation, 0, sizeof(*conversation));
	conversation->capacity = FEW_AWAITED;
	conversation->status = 'I';
}

void
free_conversation(Conversation *conversation)
{
	free(conversation->many);
	conversation->many = NULL;
}

static inline uint8_t *
get_ring(Conversation *conversation)
{
	return conversation->many ? conversation->many : conversation->few;
}

uint8_t
get_awaited(const Conversation *conversation, uint32_t index)
{
	const uint8_t *ring = conversation->many ? conversation->many : conversation->few;

	return ring[(conversation->first + index) & (conversation->capacity - 1)];
}

static bool
grow(Conversation *conversation)
{
	uint32_t	count = conversation->count;
	uint8_t    *many;

	if (conversation->capacity > UINT32_MAX / 2)
		return false;
	many = malloc((size_t) conversation->capacity * 2);
	if (many == NULL)
		return false;
	for (uint32_t i = 0; i < count; i++)
		many[i] = get_awaited(conversation, i);
	free(conversation->many);
	conversation->many = many;
	conversation->first = 0;
	conversation->capacity *= 2;
	return true;
}

bool
await(Conversation *conversation, uint8_t code)
{
	if (conversation->count == conversation->capacity && !grow(conversation))
		return false;
	get_ring(conversation)[(conversation->first + conversation->count++) &
						   (conversation->capacity - 1)] = code;
	return true;
}

static uint8_t
pop(Conversation *conversation)
{
	uint8_t		code = get_awaited(conversation, 0);

	conversation->first = (conversation->first + 1) & (conversation->capacity - 1);
	if (--conversation->count == 0 && conversation->many != NULL)
	{
		free_conversation(conversation);
		conversation->capacity = FEW_AWAITED;
		conversation->first = 0;
	}
	return code;
}

/* The end of COPY has no reply of its own */
static bool
find_head(Conversation *conversation, uint8_t *code)
{
	while (conversation->count > 0)
	{
		*code = get_awaited(conversation, 0);
		if (*code != AWAITED_COPY_END)
			return true;
		pop(conversation);
	}
	return false;
}

bool
note_sent(Conversation *conversation, uint8_t code)
{
	if (code == 'S')
	{
		if (conversation->is_copying_in)
			return true;
		conversation->is_skipping = false;
	}
	else if (code == 'c' || code == 'f')
	{
		code = AWAITED_COPY_END;
		if (conversation->is_copying_in)
		{
			conversation->is_copying_in = false;
			return true;
		}
		/* With nothing before it there is nothing it could end */
		if (conversation->count == 0)
			return true;
	}
	return conversation->is_skipping || await(conversation, code);
}

static inline bool
is_ended_by_ready(uint8_t code)
{
	return code == 'Q' || code == 'S' || code == 'F' || code == AWAITED_STARTUP;
}

void
note_ready(Conversation *conversation, uint8_t status)
{
	conversation->is_logged_in = true;
	conversation->is_copying_in = false;
	/* It answers a Sync, perhaps one thought to be lost in data that COPY no longer wanted */
	conversation->is_skipping = false;
	if (status == 'I' || status == 'T' || status == 'E')
		conversation->status = (char) status;
	conversation->statement_index = 0;
	while (conversation->count > 0 && !is_ended_by_ready(pop(conversation)))
		;
}

static void
complete(Conversation *conversation, uint8_t head)
{
	conversation->is_copying_in = false;
	if (head == 'E')
		pop(conversation);
	else if (head == 'Q')
		conversation->statement_index++;
}

/* Take what lies behind the head away as long as it has this code */
static void
pop_behind_head(Conversation *conversation, uint8_t code, uint32_t most)
{
	uint8_t		head = get_awaited(conversation, 0);
	uint32_t	taken = 0;

	while (taken < most && taken + 1 < conversation->count &&
		   get_awaited(conversation, taken + 1) == code)
		taken++;
	conversation->first = (conversation->first + taken) & (conversation->capacity - 1);
	conversation->count -= taken;
	get_ring(conversation)[conversation->first] = head;
}

/* The server now ignores every Sync up to the end of the data */
static void
start_copying_in(Conversation *conversation)
{
	pop_behind_head(conversation, 'S', UINT32_MAX);
	if (conversation->count == 1)
		conversation->is_copying_in = true;
	else
		pop_behind_head(conversation, AWAITED_COPY_END, 1);
}

/* After a failed message of the extended protocol the server skips to Sync */
static void
fail(Conversation *conversation, uint8_t head)
{
	conversation->is_copying_in = false;
	if (is_ended_by_ready(head))
		return;
	while (conversation->count > 0 && get_awaited(conversation, 0) != 'S')
		pop(conversation);
	conversation->is_skipping = conversation->count == 0;
}

void
note_received(Conversation *conversation, uint8_t code)
{
	uint8_t		head;

	if (!find_head(conversation, &head))
		return;
	switch (code)
	{
		case '1':
			if (head == 'P')
				pop(conversation);
			break;
		case '2':
			if (head == 'B')
				pop(conversation);
			break;
		case '3':
			if (head == 'C')
				pop(conversation);
			break;
		case 'T':
		case 'n':
			if (head == 'D')
				pop(conversation);
			break;
		case 'C':
			complete(conversation, head);
			break;
		case 'I':
		case 's':
			if (head == 'E')
				pop(conversation);
			break;
		case 'G':
		case 'W':
			start_copying_in(conversation);
			break;
		case 'E':
			fail(conversation, head);
			break;
	}
}

bool
is_idle(const Conversation *conversation)
{
	return conversation->is_logged_in && conversation->status == 'I' &&
		conversation->count == 0 && !conversation->is_skipping && !conversation->is_copying_in;
}
