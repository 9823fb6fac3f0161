/*
 * reader.c
 *	  Read numbers and texts out of bytes that nobody vouches for.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

typedef struct SqlmlBlock
{
	struct SqlmlBlock *next;
	double		aligned[];
} SqlmlBlock;

/*
 * Note the first failure; later ones only follow from it
 */
void
fail(Reader *reader, SqlmlStatus status, const char *message)
{
	if (has_failed(reader))
		return;
	reader->error->status = status;
	snprintf(reader->error->message, sizeof(reader->error->message), "%s", message);
}

bool
has_failed(const Reader *reader)
{
	return reader->error->status != SQLML_OK;
}

/*
 * Get memory that lives as long as the model, or NULL after a failure
 */
void *
reader_allocate(Reader *reader, size_t count, size_t item_size)
{
	SqlmlModel *model = reader->model;
	SqlmlBlock *block;

	if (has_failed(reader))
		return NULL;
	if (count > (SIZE_MAX / 2 - sizeof(SqlmlBlock)) / item_size)
	{
		fail(reader, SQLML_NO_MEMORY, "artifact needs more memory than there is");
		return NULL;
	}
	block = model->allocator.allocate(model->allocator.argument,
									  sizeof(SqlmlBlock) + count * item_size);
	if (block == NULL)
	{
		fail(reader, SQLML_NO_MEMORY, "out of memory");
		return NULL;
	}
	block->next = model->blocks;
	model->blocks = block;
	memset(block->aligned, 0, count * item_size);
	return block->aligned;
}

/*
 * Like reader_allocate, but from the beginning of a cache line on
 */
void *
allocate_aligned(Reader *reader, size_t count, size_t item_size)
{
	uintptr_t	memory;

	if (count > (SIZE_MAX / 2 - CACHE_LINE) / item_size)
	{
		fail(reader, SQLML_NO_MEMORY, "artifact needs more memory than there is");
		return NULL;
	}
	memory = (uintptr_t) reader_allocate(reader, count * item_size + CACHE_LINE, 1);
	return (void *) ((memory + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

/*
 * Free what was allocated since a block was the last one
 */
void
release_blocks(SqlmlModel *model, const SqlmlBlock *last)
{
	while (model->blocks != last)
	{
		SqlmlBlock *block = model->blocks;

		model->blocks = block->next;
		model->allocator.release(model->allocator.argument, block);
	}
}

void
sqlml_close(SqlmlModel *model)
{
	SqlmlAllocator allocator = model->allocator;

	release_blocks(model, NULL);
	allocator.release(allocator.argument, model);
}

static const uint8_t *
take(Reader *reader, size_t size)
{
	const uint8_t *bytes = reader->bytes + reader->offset;

	if (has_failed(reader))
		return NULL;
	if (size > reader->size - reader->offset)
	{
		fail(reader, SQLML_DAMAGED, "artifact ends too early");
		return NULL;
	}
	reader->offset += size;
	return bytes;
}

static uint64_t
read_little_endian(Reader *reader, size_t size)
{
	const uint8_t *bytes = take(reader, size);
	uint64_t	value = 0;

	if (bytes == NULL)
		return 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t) bytes[i] << (8 * i);
	return value;
}

uint32_t
read_u32(Reader *reader)
{
	return (uint32_t) read_little_endian(reader, 4);
}

uint64_t
read_u64(Reader *reader)
{
	return read_little_endian(reader, 8);
}

double
read_double(Reader *reader)
{
	uint64_t	bits = read_u64(reader);
	double		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

double
read_finite(Reader *reader)
{
	double		value = read_double(reader);

	if (!isfinite(value))
	{
		fail(reader, SQLML_DAMAGED, "artifact holds a number that is not finite");
		return 0;
	}
	return value;
}

void
read_doubles(Reader *reader, double *values, size_t count)
{
	for (size_t i = 0; i < count && !has_failed(reader); i++)
		values[i] = read_finite(reader);
}

/*
 * Read floats that a count has vouched for
 */
void
read_floats(Reader *reader, float *values, size_t count)
{
	const uint8_t *bytes = take(reader, count * sizeof(float));
	bool		are_finite = true;

	for (size_t i = 0; bytes != NULL && i < count; i++, bytes += sizeof(float))
	{
		uint32_t	bits = (uint32_t) bytes[0] | (uint32_t) bytes[1] << 8 |
			(uint32_t) bytes[2] << 16 | (uint32_t) bytes[3] << 24;

		memcpy(&values[i], &bits, sizeof(bits));
		are_finite &= isfinite(values[i]) != 0;
	}
	if (!are_finite)
		fail(reader, SQLML_DAMAGED, "artifact holds a number that is not finite");
}

/*
 * Read how many items follow, each of at least item_size bytes. What the
 * bytes cannot hold is refused before anyone allocates for it.
 */
uint32_t
read_count(Reader *reader, size_t item_size)
{
	uint32_t	count = read_u32(reader);

	if (count > (reader->size - reader->offset) / item_size)
	{
		fail(reader, SQLML_DAMAGED, "artifact has a count beyond its end");
		return 0;
	}
	return count;
}

SqlmlText
read_text(Reader *reader)
{
	uint32_t	size = read_count(reader, 1);
	const uint8_t *bytes = take(reader, size);
	SqlmlText	text = {"", 0};

	if (bytes == NULL)
		return text;
	if (!is_utf8(bytes, size))
	{
		fail(reader, SQLML_DAMAGED, "artifact holds text that is not UTF-8");
		return text;
	}
	text.data = (const char *) bytes;
	text.size = size;
	return text;
}

SqlmlText *
read_texts(Reader *reader, uint32_t count)
{
	SqlmlText  *texts = reader_allocate(reader, count, sizeof(SqlmlText));

	for (uint32_t i = 0; i < count && !has_failed(reader); i++)
		texts[i] = read_text(reader);
	return texts;
}

/*
 * Start the next section, which must be of the given kind
 */
Reader
open_section(Reader *reader, uint32_t kind)
{
	Reader		section = *reader;
	uint64_t	size;

	if (read_u32(reader) != kind || read_u32(reader) != 0)
		fail(reader, SQLML_DAMAGED, "artifact has its sections in the wrong order");
	size = read_u64(reader);
	if (size > reader->size - reader->offset)
		fail(reader, SQLML_DAMAGED, "artifact has a section beyond its end");
	section.bytes = reader->bytes + reader->offset;
	section.offset = 0;
	section.size = has_failed(reader) ? 0 : (size_t) size;
	return section;
}

/*
 * Go on behind a section that must have been read to its end
 */
void
close_section(Reader *reader, const Reader *section)
{
	if (section->offset != section->size)
		fail(reader, SQLML_DAMAGED, "artifact has bytes that belong to nothing");
	if (!has_failed(reader))
		reader->offset += section->size;
}

/*
 * The CRC-32 of zlib. The table takes microseconds to make, so it needs no
 * shared state.
 */
uint32_t
crc32_of(const uint8_t *bytes, size_t size)
{
	uint32_t	table[256];
	uint32_t	crc = 0xFFFFFFFFu;

	for (uint32_t i = 0; i < 256; i++)
	{
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = (table[i] >> 1) ^ ((table[i] & 1) ? 0xEDB88320u : 0);
	}
	for (size_t i = 0; i < size; i++)
		crc = (crc >> 8) ^ table[(crc ^ bytes[i]) & 0xFF];
	return crc ^ 0xFFFFFFFFu;
}
