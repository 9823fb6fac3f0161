/*
 * conversation.h
 *	  Which reply of the server belongs to which message of the client.
 *
 * The same rules as in sqlml/proxy/conversation.py, by codes alone.
 */
#ifndef SQLML_CONVERSATION_H
#define SQLML_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AWAITED_STARTUP '\0'
#define AWAITED_COPY_END 'c'
#define FEW_AWAITED 16

typedef struct Conversation
{
	uint8_t    *many;			/* a ring as `few` is, once that is full; else NULL */
	uint32_t	capacity;
	uint32_t	first;
	uint32_t	count;
	uint32_t	statement_index;
	uint8_t		few[FEW_AWAITED];
	char		status;			/* I, T or E */
	bool		is_logged_in;
	bool		is_skipping;
	bool		is_copying_in;
} Conversation;

void		init_conversation(Conversation *conversation);
void		free_conversation(Conversation *conversation);

/* Take note of a message that goes to the server; false if there is no memory */
bool		note_sent(Conversation *conversation, uint8_t code);

/* Take note of a reply */
void		note_received(Conversation *conversation, uint8_t code);
void		note_ready(Conversation *conversation, uint8_t status);

/* Append to what is awaited, as when a session comes from the event loop */
bool		await(Conversation *conversation, uint8_t code);
uint8_t		get_awaited(const Conversation *conversation, uint32_t index);

/* Whether nothing is outstanding and no transaction is open */
bool		is_idle(const Conversation *conversation);

#endif
