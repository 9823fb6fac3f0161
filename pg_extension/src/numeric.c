/*
 * numeric.c
 *	  numeric to double precision, with the result of PostgreSQL's own cast.
 *
 * The cast goes through text, which costs several hundred nanoseconds. Most
 * numbers are an integer up to 2^53 times or over a power of ten up to 10^22.
 * Both are exact as doubles, so that one operation rounds once, as the cast
 * does (Clinger, "How to read floating point numbers accurately", 1990).
 * Everything else takes the cast.
 *
 * PostgreSQL keeps the form on disk to itself, but it is the same since 9.1: a
 * header of two bytes, a second pair where the header is not short, and digits
 * to the base 10000 of two bytes each. The weight is the exponent of the first.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "glue.h"

#define FORM_MASK 0xC000
#define FORM_NEGATIVE 0x4000	/* long headers; a short one has a bit of its own */
#define FORM_SHORT 0x8000
#define FORM_SPECIAL 0xC000		/* NaN and the infinities */

#define SHORT_NEGATIVE 0x2000
#define SHORT_WEIGHT_NEGATIVE 0x0040
#define SHORT_WEIGHT_MASK 0x003F

#define BASE 10000
#define BASE_DIGITS 4

#define EXACT_INTEGER (UINT64CONST(1) << 53)
#define EXACT_POWER 22

typedef struct Decimal
{
	bool		is_negative;
	uint64		mantissa;
	int			exponent;		/* of ten */
} Decimal;

static const double POWERS[EXACT_POWER + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

/* The data of a packed datum may begin at any byte */
static uint16
read_pair(const char *data)
{
	uint16		pair;

	memcpy(&pair, data, sizeof(pair));
	return pair;
}

/*
 * Read the number as an integer times a power of ten; false when it is none
 * or the integer is too long
 */
static bool
read_decimal(const char *data, int size, Decimal *decimal)
{
	uint16		header = read_pair(data);
	const char *digits = data + sizeof(uint16);
	int			weight;
	int			count;

	if ((header & FORM_MASK) == FORM_SPECIAL)
		return false;
	if ((header & FORM_MASK) == FORM_SHORT)
	{
		decimal->is_negative = (header & SHORT_NEGATIVE) != 0;
		weight = header & SHORT_WEIGHT_MASK;
		if (header & SHORT_WEIGHT_NEGATIVE)
			weight -= SHORT_WEIGHT_MASK + 1;
	}
	else
	{
		decimal->is_negative = (header & FORM_MASK) == FORM_NEGATIVE;
		weight = (int16) read_pair(digits);
		digits += sizeof(uint16);
	}
	count = (int) (data + size - digits) / (int) sizeof(uint16);

	/* five digits below 1000 0000 0000 0000 0000 are the most that 64 bits hold */
	if (count > 5 || (count == 5 && read_pair(digits) >= BASE / 10))
		return false;
	decimal->mantissa = 0;
	for (int i = 0; i < count; i++)
		decimal->mantissa = decimal->mantissa * BASE + read_pair(digits + i * sizeof(uint16));
	decimal->exponent = (weight - count + 1) * BASE_DIGITS;
	return true;
}

/*
 * Compute the double nearest to a decimal; false when one operation cannot
 */
static bool
round_decimal(Decimal decimal, double *number)
{
	if (decimal.mantissa == 0)
	{
		*number = 0;
		return true;
	}
	while ((decimal.mantissa > EXACT_INTEGER || decimal.exponent < -EXACT_POWER) &&
		   decimal.mantissa % 10 == 0)
	{
		decimal.mantissa /= 10;
		decimal.exponent++;
	}
	if (decimal.mantissa > EXACT_INTEGER || abs(decimal.exponent) > EXACT_POWER)
		return false;
	*number = (double) decimal.mantissa;
	if (decimal.exponent < 0)
		*number /= POWERS[-decimal.exponent];
	else
		*number *= POWERS[decimal.exponent];
	if (decimal.is_negative)
		*number = -*number;
	return true;
}

/*
 * Cast a numeric to double precision
 */
double
numeric_to_double(Datum datum)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(datum);
	Decimal		decimal;
	double		number;

	if (read_decimal(VARDATA_ANY(packed), (int) VARSIZE_ANY_EXHDR(packed), &decimal) &&
		round_decimal(decimal, &number))
		return number;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, PointerGetDatum(packed)));
}
