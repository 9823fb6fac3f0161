/*
 * convert.c
 *	  SQL and JSON values become values of the core.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "glue.h"

typedef struct TypeRule
{
	Oid			type;
	SqlmlKind	kind;
	Conversion	conversion;
} TypeRule;

static const TypeRule RULES[] = {
	{INT2OID, SQLML_NUMERIC, CONVERT_INT2},
	{INT4OID, SQLML_NUMERIC, CONVERT_INT4},
	{INT8OID, SQLML_NUMERIC, CONVERT_INT8},
	{FLOAT4OID, SQLML_NUMERIC, CONVERT_FLOAT4},
	{FLOAT8OID, SQLML_NUMERIC, CONVERT_FLOAT8},
	{NUMERICOID, SQLML_NUMERIC, CONVERT_NUMERIC},
	{BOOLOID, SQLML_BOOLEAN, CONVERT_BOOL},
	{DATEOID, SQLML_DATETIME, CONVERT_DATE},
	{TIMESTAMPOID, SQLML_DATETIME, CONVERT_TIMESTAMP},
	{TIMESTAMPTZOID, SQLML_DATETIME, CONVERT_TIMESTAMP},
	{TEXTOID, SQLML_CATEGORY, CONVERT_TEXT},
	{VARCHAROID, SQLML_CATEGORY, CONVERT_TEXT},
	{BPCHAROID, SQLML_CATEGORY, CONVERT_BPCHAR},
	{NAMEOID, SQLML_CATEGORY, CONVERT_NAME},
	{UUIDOID, SQLML_CATEGORY, CONVERT_OUTPUT},
	/* of arrays the type of the elements */
	{INT2OID, SQLML_ARRAY, CONVERT_INT2_ARRAY},
	{INT4OID, SQLML_ARRAY, CONVERT_INT4_ARRAY},
	{INT8OID, SQLML_ARRAY, CONVERT_INT8_ARRAY},
	{FLOAT4OID, SQLML_ARRAY, CONVERT_FLOAT4_ARRAY},
	{FLOAT8OID, SQLML_ARRAY, CONVERT_FLOAT8_ARRAY},
	{NUMERICOID, SQLML_ARRAY, CONVERT_NUMERIC_ARRAY},
};

/*
 * How a type, which is no domain, becomes a value of the kind
 */
Conversion
find_conversion(Oid type, SqlmlKind kind)
{
	char		category;
	bool		is_preferred;

	if (kind == SQLML_ARRAY)
	{
		type = get_element_type(type);
		if (!OidIsValid(type))
			return CONVERT_NOT_POSSIBLE;
		type = getBaseType(type);
	}
	for (size_t i = 0; i < lengthof(RULES); i++)
		if (RULES[i].type == type && RULES[i].kind == kind)
			return RULES[i].conversion;
	if (kind != SQLML_CATEGORY)
		return CONVERT_NOT_POSSIBLE;

	/* enums and other string-like types, such as citext */
	get_type_category_preferred(type, &category, &is_preferred);
	if (category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM)
		return CONVERT_OUTPUT;
	return CONVERT_NOT_POSSIBLE;
}

/*
 * Text of the server as UTF-8. For a UTF-8 database nothing is copied.
 */
SqlmlText
text_from_server(const char *data, int size)
{
	SqlmlText	text = {data, (uint32_t) size};

	if (GetDatabaseEncoding() == PG_UTF8)
		return text;
	text.data = pg_server_to_any(data, size, PG_UTF8);
	if (text.data != data)
		text.size = (uint32_t) strlen(text.data);
	return text;
}

/*
 * Text of an artifact in the server's encoding, with a terminating zero
 */
char *
text_to_server(SqlmlText text)
{
	char	   *copy = pnstrdup(text.data, text.size);

	return pg_any_to_server(copy, (int) text.size, PG_UTF8);
}

static void
convert_date(DateADT date, SqlmlValue *value)
{
	if (DATE_NOT_FINITE(date))
		value->is_missing = true;
	else
		value->as.micros = DatumGetTimestamp(DirectFunctionCall1(date_timestamp,
																 DateADTGetDatum(date)));
}

static void
convert_text(Conversion conversion, Datum datum, SqlmlValue *value)
{
	const text *packed = (const text *) PG_DETOAST_DATUM_PACKED(datum);
	const char *data = VARDATA_ANY(packed);
	int			size = (int) VARSIZE_ANY_EXHDR(packed);

	if (conversion == CONVERT_BPCHAR)
		size = bpchartruelen(unconstify(char *, data), size);
	value->as.text = text_from_server(data, size);
}

/*
 * Convert a datum that is not NULL
 */
void
convert_datum(Conversion conversion, FmgrInfo *output, Datum datum, SqlmlValue *value)
{
	const char *string;

	value->is_missing = false;
	switch (conversion)
	{
		case CONVERT_INT2:
			value->as.number = DatumGetInt16(datum);
			break;
		case CONVERT_INT4:
			value->as.number = DatumGetInt32(datum);
			break;
		case CONVERT_INT8:
			value->as.number = (double) DatumGetInt64(datum);
			break;
		case CONVERT_FLOAT4:
			value->as.number = DatumGetFloat4(datum);
			break;
		case CONVERT_FLOAT8:
			value->as.number = DatumGetFloat8(datum);
			break;
		case CONVERT_NUMERIC:
			value->as.number = numeric_to_double(datum);
			break;
		case CONVERT_BOOL:
			value->as.number = DatumGetBool(datum);
			break;
		case CONVERT_DATE:
			convert_date(DatumGetDateADT(datum), value);
			break;
		case CONVERT_TIMESTAMP:
			value->as.micros = DatumGetTimestamp(datum);
			value->is_missing = TIMESTAMP_NOT_FINITE(value->as.micros);
			break;
		case CONVERT_TEXT:
		case CONVERT_BPCHAR:
			convert_text(conversion, datum, value);
			break;
		case CONVERT_NAME:
			string = NameStr(*DatumGetName(datum));
			value->as.text = text_from_server(string, (int) strlen(string));
			break;
		case CONVERT_OUTPUT:
			string = OutputFunctionCall(output, datum);
			value->as.text = text_from_server(string, (int) strlen(string));
			break;
		case CONVERT_INT2_ARRAY:
		case CONVERT_INT4_ARRAY:
		case CONVERT_INT8_ARRAY:
		case CONVERT_FLOAT4_ARRAY:
		case CONVERT_FLOAT8_ARRAY:
		case CONVERT_NUMERIC_ARRAY:
			value->as.array = read_elements(conversion, datum);
			break;
		case CONVERT_NOT_POSSIBLE:
			elog(ERROR, "column was not bound");
	}
}

const char *
json_type_name(const JsonbValue *json)
{
	switch (json->type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "a string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		case jbvBinary:
			return JsonContainerIsArray(json->val.binary.data) ? "an array" : "an object";
		default:
			return "an array";
	}
}

/*
 * Read a number; false when it is none. JSON has no NaN and no infinities;
 * to_jsonb writes them as strings.
 */
bool
json_to_double(const JsonbValue *json, double *number)
{
	if (json->type == jbvNumeric)
	{
		*number = numeric_to_double(NumericGetDatum(json->val.numeric));
		return true;
	}
	if (json->type != jbvString)
		return false;
	if (json->val.string.len == 3 && memcmp(json->val.string.val, "NaN", 3) == 0)
		*number = get_float8_nan();
	else if (json->val.string.len == 8 && memcmp(json->val.string.val, "Infinity", 8) == 0)
		*number = get_float8_infinity();
	else if (json->val.string.len == 9 && memcmp(json->val.string.val, "-Infinity", 9) == 0)
		*number = -get_float8_infinity();
	else
		return false;
	return true;
}

static void
read_datetime(SqlmlText text, const char *name, const JsonbValue *json, SqlmlValue *value)
{
	switch (sqlml_parse_datetime(text, &value->as.micros))
	{
		case SQLML_DATETIME_OK:
			break;
		case SQLML_DATETIME_INFINITE:
			value->is_missing = true;
			break;
		case SQLML_DATETIME_INVALID:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
					 errmsg("invalid date or time in column \"%s\": \"%.*s\"", name,
							json->val.string.len, json->val.string.val),
					 errhint("Write dates and times as in ISO 8601.")));
			break;
		case SQLML_DATETIME_OUT_OF_RANGE:
			ereport(ERROR,
					(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					 errmsg("date or time out of range in column \"%s\": \"%.*s\"", name,
							json->val.string.len, json->val.string.val),
					 errhint("Write dates and times as in ISO 8601.")));
			break;
	}
}

/*
 * Convert a JSON value that is there and not null
 */
void
convert_json(const SqlmlColumn *column, const char *name, const char *model_name,
			 const JsonbValue *json, SqlmlValue *value)
{
	SqlmlText	text = {"", 0};

	value->is_missing = false;
	if (json->type == jbvString)
		text = text_from_server(json->val.string.val, json->val.string.len);
	if (column->kind == SQLML_NUMERIC && json_to_double(json, &value->as.number))
		value->as.number = sqlml_json_number(column, value->as.number);
	else if (column->kind == SQLML_BOOLEAN && json->type == jbvBool)
		value->as.number = json->val.boolean;
	else if (column->kind == SQLML_CATEGORY && json->type == jbvString)
		value->as.text = sqlml_json_text(column, text);
	else if (column->kind == SQLML_DATETIME && json->type == jbvString)
		read_datetime(text, name, json, value);
	else if (column->kind == SQLML_ARRAY && json->type == jbvBinary &&
			 JsonContainerIsArray(json->val.binary.data))
		value->as.array = read_json_elements(column, name, model_name, json->val.binary.data);
	else
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the row is %s, but model \"%s\" expects %s",
						name, json_type_name(json), model_name,
						text_to_server(column->type_name))));
}
