/*
 * prefilter.h
 *	  May a text hold something of ours? sqlml/proxy/prefilter.py has the same rule.
 */
#ifndef SQLML_PREFILTER_H
#define SQLML_PREFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So much of a text is looked at */
#define LOOK_BYTES 16384

bool		may_concern_us(const uint8_t *text, size_t size);

#endif
