/*
 * datetime.c
 *	  Dates by integer arithmetic: proleptic Gregorian calendar, UTC,
 *	  astronomical years (0 is 1 BC). Right for every int64.
 *
 * Years are counted from 1 March, so that the leap day ends one. A cycle of
 * 400 such years has 146097 days; 2000-01-01 is day 730425 after 0000-03-01.
 */
#include <string.h>

#include "internal.h"

#define MICROS_PER_SECOND INT64_C(1000000)
#define MICROS_PER_HOUR (3600 * MICROS_PER_SECOND)
#define MICROS_PER_DAY (24 * MICROS_PER_HOUR)
#define DAYS_PER_CYCLE 146097
#define DAYS_TO_2000 730425

/* PostgreSQL's range of timestamps: 4714-11-24 BC up to the end of 294276 */
#define MIN_MICROS INT64_C(-211813488000000000)
#define END_MICROS INT64_C(9223371331200000000)
#define MAX_YEAR 294277

static int64_t
floor_divide(int64_t dividend, int64_t divisor)
{
	return dividend / divisor - (dividend % divisor < 0);
}

static int64_t
floor_remainder(int64_t dividend, int64_t divisor)
{
	int64_t		remainder = dividend % divisor;

	return remainder < 0 ? remainder + divisor : remainder;
}

static bool
is_leap_year(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t
at_most(int64_t value, int64_t limit)
{
	return value < limit ? value : limit;
}

static Calendar
split_days(int64_t days_since_2000)
{
	int64_t		days = days_since_2000 + DAYS_TO_2000;
	int64_t		rest = floor_remainder(days, DAYS_PER_CYCLE);
	int64_t		century = at_most(rest / 36524, 3);
	int64_t		leap_cycle;
	int64_t		year;
	int64_t		month;
	Calendar	calendar;

	rest -= century * 36524;
	leap_cycle = rest / 1461;
	rest -= leap_cycle * 1461;
	year = at_most(rest / 365, 3);
	rest -= year * 365;			/* days since 1 March */

	/* months from March have 31, 30, 31, 30, 31 days, again and again */
	month = (5 * rest + 2) / 153;
	calendar.day = rest - (153 * month + 2) / 5 + 1;
	calendar.month = month < 10 ? month + 3 : month - 9;
	calendar.year = floor_divide(days, DAYS_PER_CYCLE) * 400 + century * 100 +
		leap_cycle * 4 + year + (month >= 10);
	if (month >= 10)
		calendar.yearday = rest - 305;
	else
		calendar.yearday = rest + 60 + is_leap_year(calendar.year);
	return calendar;
}

/*
 * Split a datetime, which one column's features share
 */
Datetime
split_datetime(int64_t micros)
{
	return (Datetime) {micros, split_days(floor_divide(micros, MICROS_PER_DAY))};
}

double
get_datetime_part(const Datetime *datetime, SqlmlOp op)
{
	switch (op)
	{
		case OP_EPOCH:
			return (double) datetime->micros / 1e6;
		case OP_HOUR:
			return (double) (floor_remainder(datetime->micros, MICROS_PER_DAY) / MICROS_PER_HOUR);
		case OP_WEEKDAY:
			/* 2000-01-01 was a Saturday */
			return (double) floor_remainder(floor_divide(datetime->micros, MICROS_PER_DAY) + 5, 7);
		case OP_YEAR:
			return (double) datetime->calendar.year;
		case OP_MONTH:
			return (double) datetime->calendar.month;
		case OP_DAY:
			return (double) datetime->calendar.day;
		case OP_YEARDAY:
			return (double) datetime->calendar.yearday;
		default:
			return 0;
	}
}

static int64_t
join_days(int64_t year, int64_t month, int64_t day)
{
	int64_t		march_year = month <= 2 ? year - 1 : year;
	int64_t		march_month = month <= 2 ? month + 9 : month - 3;
	int64_t		cycle_year = floor_remainder(march_year, 400);

	return floor_divide(march_year, 400) * DAYS_PER_CYCLE + cycle_year * 365 +
		cycle_year / 4 - cycle_year / 100 + (153 * march_month + 2) / 5 + day - 1 -
		DAYS_TO_2000;
}

/* What is left of the text that is being read */
typedef struct Cursor
{
	const char *at;
	const char *end;
} Cursor;

static bool
skip(Cursor *cursor, char wanted)
{
	if (cursor->at == cursor->end || *cursor->at != wanted)
		return false;
	cursor->at++;
	return true;
}

/*
 * Read at least minimum and at most maximum digits, or give -1
 */
static int64_t
read_digits(Cursor *cursor, int minimum, int maximum)
{
	int64_t		value = 0;
	int			count = 0;

	while (cursor->at < cursor->end && count < maximum &&
		   *cursor->at >= '0' && *cursor->at <= '9')
	{
		value = value * 10 + (*cursor->at++ - '0');
		count++;
	}
	return count < minimum ? -1 : value;
}

/* Digits after the point as microseconds, the seventh one rounded */
static int64_t
read_fraction(Cursor *cursor)
{
	int64_t		micros = 0;
	int			count = 0;

	while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9')
	{
		int			digit = *cursor->at++ - '0';

		if (count < 6)
			micros = micros * 10 + digit;
		else if (count == 6 && digit >= 5)
			micros++;
		count++;
	}
	for (int i = count; i < 6; i++)
		micros *= 10;
	return count == 0 ? -1 : micros;
}

static bool
read_time(Cursor *cursor, int64_t *micros)
{
	int64_t		hour = read_digits(cursor, 2, 2);
	int64_t		minute = skip(cursor, ':') ? read_digits(cursor, 2, 2) : -1;
	int64_t		second = skip(cursor, ':') ? read_digits(cursor, 2, 2) : 0;
	int64_t		fraction = skip(cursor, '.') ? read_fraction(cursor) : 0;

	*micros = hour * MICROS_PER_HOUR + (minute * 60 + second) * MICROS_PER_SECOND + fraction;
	return hour >= 0 && minute >= 0 && minute < 60 && second >= 0 && second <= 60 &&
		fraction >= 0 && *micros <= MICROS_PER_DAY;
}

/* Read Z, +HH, +HH:MM, +HHMM or +HH:MM:SS; nothing at all means UTC */
static bool
read_offset(Cursor *cursor, int64_t *micros)
{
	int64_t		sign = skip(cursor, '+') ? 1 : -1;
	int64_t		parts[3] = {0, 0, 0};

	*micros = 0;
	if (sign < 0 && !skip(cursor, '-'))
	{
		skip(cursor, 'Z');
		return true;
	}
	parts[0] = read_digits(cursor, 2, 2);
	for (int i = 1; i < 3 && cursor->at < cursor->end && *cursor->at != ' '; i++)
	{
		skip(cursor, ':');
		parts[i] = read_digits(cursor, 2, 2);
	}
	*micros = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]) * MICROS_PER_SECOND;
	return parts[0] >= 0 && parts[0] < 24 && parts[1] >= 0 && parts[1] < 60 &&
		parts[2] >= 0 && parts[2] < 60;
}

static bool
read_date(Cursor *cursor, int64_t *year, int64_t *month, int64_t *day)
{
	static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	*year = read_digits(cursor, 4, 9);
	*month = skip(cursor, '-') ? read_digits(cursor, 2, 2) : -1;
	*day = skip(cursor, '-') ? read_digits(cursor, 2, 2) : -1;
	return *year >= 1 && *month >= 1 && *month <= 12 && *day >= 1 &&
		*day <= month_days[*month - 1];
}

static bool
is_literal(SqlmlText text, const char *literal)
{
	return text.size == strlen(literal) && memcmp(text.data, literal, text.size) == 0;
}

SqlmlDatetimeStatus
sqlml_parse_datetime(SqlmlText text, int64_t *micros)
{
	Cursor		cursor = {text.data, text.data + text.size};
	int64_t		year;
	int64_t		month;
	int64_t		day;
	int64_t		time = 0;
	int64_t		offset = 0;

	if (is_literal(text, "infinity") || is_literal(text, "-infinity"))
		return SQLML_DATETIME_INFINITE;
	if (!read_date(&cursor, &year, &month, &day))
		return SQLML_DATETIME_INVALID;
	if (cursor.at + 1 < cursor.end && (*cursor.at == 'T' || (*cursor.at == ' ' && cursor.at[1] != 'B')))
	{
		cursor.at++;
		if (!read_time(&cursor, &time) || !read_offset(&cursor, &offset))
			return SQLML_DATETIME_INVALID;
	}
	if (cursor.end - cursor.at == 3 && memcmp(cursor.at, " BC", 3) == 0)
	{
		year = 1 - year;
		cursor.at = cursor.end;
	}
	if (cursor.at != cursor.end || (month == 2 && day == 29 && !is_leap_year(year)))
		return SQLML_DATETIME_INVALID;
	if (year > MAX_YEAR || year < -MAX_YEAR)
		return SQLML_DATETIME_OUT_OF_RANGE;

	/* at MAX_YEAR the product may pass int64, in which case so does END_MICROS */
	if (__builtin_mul_overflow(join_days(year, month, day), MICROS_PER_DAY, micros) ||
		__builtin_add_overflow(*micros, time - offset, micros) ||
		*micros < MIN_MICROS || *micros >= END_MICROS)
		return SQLML_DATETIME_OUT_OF_RANGE;
	return SQLML_DATETIME_OK;
}
