/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the form of requests. Called by control.c, and by the command line's own tests of what it sends. */
#include "proxy/control_request.h"

#include <jansson.h>

enum member { BY = 1, VALUE = 2, ALL = 4, FOR = 8, REASON = 16 };

static const struct member_row {
    const char *name;
    enum member member;
} members[] = {{"by", BY}, {"value", VALUE}, {"all", ALL}, {"for_ms", FOR}, {"reason", REASON}};

static const struct verb_row {
    const char *name;
    enum control_verb verb;
    unsigned needs, takes; /* enum member bits */
} verbs[] = {
    {"reload", CONTROL_RELOAD, 0, 0},
    {"bans", CONTROL_BANS, 0, 0},
    {"ban", CONTROL_BAN, BY | VALUE | FOR, BY | VALUE | FOR | REASON},
    {"lift", CONTROL_LIFT, 0, BY | VALUE | ALL},
};

static const struct verb_row *find_verb(const json_t *document)
{
    const char *name = json_string_value(json_object_get(document, "request"));

    for (size_t i = 0; name != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* The members that are there, but for "request"; 0 and *unknown set if one is not known. */
static unsigned find_members(json_t *document, bool *unknown)
{
    unsigned found = 0;
    const char *key;
    json_t *value;

    *unknown = false;
    json_object_foreach(document, key, value)
    {
        unsigned before = found;

        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
            if (strcmp(members[i].name, key) == 0)
                found |= members[i].member;
        if (found == before && strcmp(key, "request") != 0)
            *unknown = true;
    }
    return found;
}

static struct view text_of(const json_t *document, const char *key)
{
    const json_t *value = json_object_get(document, key);

    return view_of(json_string_value(value), json_string_length(value));
}

static const char *read_party(const json_t *document, struct control_request *request)
{
    struct view by = text_of(document, "by");

    request->value = text_of(document, "value");
    if (request->value.length == 0)
        return "value: not a text, or empty";
    for (int i = 0; i < BAN_KINDS; i++)
        if (view_equal_string(by, ban_by_name((enum ban_by)i))) {
            request->by = (enum ban_by)i;
            return NULL;
        }
    return "by: neither id nor address";
}

static const char *read_members(json_t *document, unsigned found, struct control_request *request)
{
    const json_t *duration = json_object_get(document, "for_ms"),
                 *reason = json_object_get(document, "reason");

    if ((found & ALL) != 0) {
        request->all = json_is_true(json_object_get(document, "all"));
        return request->all && found == ALL ? NULL : "all: not true, or beside others";
    }
    if ((found & FOR) != 0) {
        json_int_t value = json_integer_value(duration);

        if (value < 1 || (uint64_t)value > BAN_LONGEST_MS)
            return "for_ms: not a number from 1 to that of 365 days";
        request->for_ms = (uint64_t)value;
    }
    if ((found & REASON) != 0) {
        request->reason = text_of(document, "reason");
        if (!json_is_string(reason) || request->reason.length > CONTROL_REASON_MAX)
            return "reason: not a text of at most 200 bytes";
    }
    return (found & (BY | VALUE)) == 0 ? NULL : read_party(document, request);
}

static const char *read_request(json_t *document, struct control_request *request)
{
    const struct verb_row *row = find_verb(document);
    bool unknown;
    unsigned found = find_members(document, &unknown);

    if (row == NULL)
        return "request: none that is known";
    if (unknown || (found & ~row->takes) != 0)
        return "a member that this request does not have";
    if ((found & row->needs) != row->needs || (row->verb == CONTROL_LIFT && found == 0))
        return "a member that this request needs is missing";
    request->verb = row->verb;
    return read_members(document, found, request);
}

const char *control_request_parse(struct view text, struct control_request *request)
{
    json_t *document = json_loadb((const char *)text.data, text.length, JSON_REJECT_DUPLICATES, NULL);
    const char *error;

    *request = (struct control_request){.document = document};
    error = json_is_object(document) ? read_request(document, request) : "not a JSON object";
    if (error != NULL)
        control_request_release(request);
    return error;
}

void control_request_release(struct control_request *request)
{
    json_decref(request->document);
    *request = (struct control_request){0};
}
