/* SPDX-License-Identifier: Apache-2.0 */
#include "host/values.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/text.h"

/* Of a key, with its zero byte. */
#define KEY_MAX 128u

static int put(struct reader_answer *answer, const json_t *json, unsigned depth)
{
    const json_t *value;
    const char *key;
    double real;
    size_t i;
    int r = 0;

    if (depth == VALUES_DEPTH_MAX)
        return -EPROTO;
    switch (json_typeof(json)) {
    case JSON_NULL:
        reader_put(answer, "n", 1);
        break;
    case JSON_TRUE:
        reader_put(answer, "t", 1);
        break;
    case JSON_FALSE:
        reader_put(answer, "f", 1);
        break;
    case JSON_INTEGER:
        reader_put(answer, "i", 1);
        reader_put_number(answer, (uint64_t)json_integer_value(json));
        break;
    case JSON_REAL:
        real = json_real_value(json);
        reader_put(answer, "r", 1);
        reader_put(answer, &real, sizeof(real));
        break;
    case JSON_STRING:
        reader_put(answer, "s", 1);
        reader_put_bytes(answer, json_string_value(json), json_string_length(json));
        break;
    case JSON_ARRAY:
        reader_put(answer, "a", 1);
        reader_put_number(answer, json_array_size(json));
        json_array_foreach(json, i, value)
        {
            if (!r)
                r = put(answer, value, depth + 1);
        }
        break;
    case JSON_OBJECT:
        reader_put(answer, "o", 1);
        reader_put_number(answer, json_object_size(json));
        json_object_foreach((json_t *)json, key, value)
        {
            reader_put_bytes(answer, key, strlen(key));
            if (!r)
                r = put(answer, value, depth + 1);
        }
        break;
    }
    return r;
}

int values_put(struct reader_answer *answer, const json_t *json)
{
    return put(answer, json, 0);
}

/* ---- in the command ---- */

static json_t *get(struct reader_answer *answer, unsigned depth);

static json_t *get_string(struct reader_answer *answer)
{
    size_t length;
    const char *bytes = reader_get_bytes(answer, answer->size, &length);
    char *text = bytes ? malloc(length + 1) : NULL;
    json_t *string;

    if (!text)
        return NULL;
    for (size_t i = 0; i < length; i++)
        text[i] = text_shown(bytes[i]);
    string = json_stringn(text, length);
    free(text);
    return string;
}

static json_t *get_real(struct reader_answer *answer)
{
    const void *bytes = reader_get(answer, sizeof(double));
    double real;

    if (!bytes)
        return NULL;
    memcpy(&real, bytes, sizeof(real));
    return json_real(real); /* which takes no infinity */
}

static json_t *get_array(struct reader_answer *answer, unsigned depth)
{
    json_t *array = json_array();
    uint64_t count = 0;
    bool good = reader_get_number(answer, &count);

    for (; good && count; count--)
        good = !json_array_append_new(array, get(answer, depth + 1));
    if (good)
        return array;
    json_decref(array);
    return NULL;
}

static bool get_member(struct reader_answer *answer, json_t *object, unsigned depth)
{
    char key[KEY_MAX];
    size_t length;
    const char *bytes = reader_get_bytes(answer, sizeof(key) - 1, &length);

    if (!bytes)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text_is_control(bytes[i]))
            return false;
        key[i] = bytes[i];
    }
    key[length] = 0;
    return !json_object_get(object, key) &&
           !json_object_set_new(object, key, get(answer, depth + 1));
}

static json_t *get_object(struct reader_answer *answer, unsigned depth)
{
    json_t *object = json_object();
    uint64_t count = 0;
    bool good = reader_get_number(answer, &count);

    for (; good && count; count--)
        good = get_member(answer, object, depth);
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *get(struct reader_answer *answer, unsigned depth)
{
    const char *kind = depth < VALUES_DEPTH_MAX ? reader_get(answer, 1) : NULL;
    uint64_t number;

    switch (kind ? *kind : 0) {
    case 'n':
        return json_null();
    case 't':
        return json_true();
    case 'f':
        return json_false();
    case 'i':
        return reader_get_number(answer, &number) ? json_integer((json_int_t)number) : NULL;
    case 'r':
        return get_real(answer);
    case 's':
        return get_string(answer);
    case 'a':
        return get_array(answer, depth);
    case 'o':
        return get_object(answer, depth);
    }
    return NULL;
}

json_t *values_get(struct reader_answer *answer)
{
    return get(answer, 0);
}
