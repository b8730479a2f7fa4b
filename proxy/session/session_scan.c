/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads that checks have scanned, as a session meets them: what is asked, here or later, what follows from
 * the answer, and what the audit hears of it (payload-scanning "Inline or pool", "Rules know their context").
 * Called by the handlers of PUBLISH, both ways, and of CONNECT. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

static_assert(YARA_VIEW_BASE64 == 1 << SCAN_BASE64 && YARA_VIEW_HEX == 1 << SCAN_HEX &&
                  YARA_VIEW_JSON == 1 << SCAN_JSON && YARA_VIEW_GZIP == 1 << SCAN_GZIP &&
                  YARA_VIEW_UTF16 == 1 << SCAN_UTF16 && (unsigned)YARA_VIEWS_ALL == SCAN_VIEWS_ALL,
    "policy and rules mean the same views");

/* ---- what is asked ---- */

/* More parts are not scanned on the loop. */
#define LOOP_PARTS 64

/* A packet has room for hundreds of thousands of User Properties: no device has that many, and to list them
 * would hold the loop. */
#define PARTS_MAX 1024

static void add_part(struct session_scan_run *run, enum scan_part_kind kind, struct view bytes)
{
    if (run->part_count == PARTS_MAX) {
        run->more_parts = true;
        return;
    }
    if (run->part_count == run->part_capacity) {
        struct scan_part *grown = memory_calloc(run->part_capacity * 2, sizeof(*grown));

        memcpy(grown, run->parts, run->part_count * sizeof(*grown));
        if (run->parts != run->few)
            free(run->parts);
        run->parts = grown;
        run->part_capacity *= 2;
    }
    run->parts[run->part_count++] = (struct scan_part){kind, bytes};
}

/* Names of User Properties are the sender's as much as their values. */
static void add_properties(struct session_scan_run *run, const struct mqtt_properties *properties)
{
    struct mqtt_property_value value;
    size_t seen = 0;

    for (size_t offset = 0; !run->more_parts && mqtt_properties_next(properties, &offset, &value); seen++) {
        run->more_parts = seen == PARTS_MAX;
        if (value.id == MQTT_USER_PROPERTY) {
            if (value.string.length > 0)
                add_part(run, SCAN_USER_PROPERTY, value.string);
            if (value.value.length > 0)
                add_part(run, SCAN_USER_PROPERTY, value.value);
        } else if (value.id == MQTT_CORRELATION_DATA)
            add_part(run, SCAN_CORRELATION_DATA, value.string);
        else if (value.id == MQTT_CONTENT_TYPE)
            run->context.content_type = value.string;
    }
}

/* More groups of a client are not named. */
#define GROUPS_MAX 64

/* Joined once: the same for all messages of a client. */
static struct view groups_of(struct session *session)
{
    const char *names[GROUPS_MAX];
    struct buffer text = {0};
    size_t count;

    if (session->groups == NULL) {
        count = policy_subject_groups(session->settings->policy, session->subject, names, GROUPS_MAX);
        for (size_t i = 0; i < count; i++)
            buffer_format(&text, "%s%s", i == 0 ? "" : ",", names[i]);
        session->groups = memory_copy_string(buffer_view(&text));
        buffer_release(&text);
    }
    return view_of_string(session->groups);
}

void session_scan_forget(struct session *session)
{
    free(session->groups);
    session->groups = NULL;
}

static struct session_scan_message message_of(const struct session_publish *context)
{
    const struct mqtt_publish *packet = &context->packet;
    bool stands = context->is_signed && context->signature.check != NULL;

    return (struct session_scan_message){.topic = packet->topic,
        .payload = stands ? context->signature.found.payload : packet->payload,
        .properties = &packet->properties,
        .size = packet->payload.length,
        .qos = packet->qos,
        .retain = packet->retain,
        .outbound = context->request.operation == POLICY_RECEIVE};
}

void session_scan_begin(struct session_scan_run *run, struct session *session,
    const struct session_scan_message *message, uint64_t checks)
{
    run->session = session;
    run->checks = checks;
    run->asked = 0;
    run->results = session->scanned;
    if (run->results != NULL && (checks & ~session->scanned_of) != 0)
        run->results = NULL;  /* the client is somebody else by now: other checks are about it */
    if (run->results != NULL) /* the others had their say before it waited */
        run->checks = session->scanned_checks;
    run->of = checks;
    run->parts = run->few;
    run->part_count = 0;
    run->part_capacity = SESSION_SCAN_PARTS;
    run->more_parts = false;
    run->clean = 0;
    run->together = false;
    run->here.quarantine = NULL;
    run->here.has_quarantine_sha256 = false;
    run->context = (struct scan_context){.topic = message->topic,
        .client_id = session->client_id,
        .username = session->username,
        .identity = policy_subject_id(session->subject),
        .qos = message->qos,
        .retain = message->retain,
        .outbound = message->outbound,
        .payload_size = message->size};
    if (run->results != NULL)
        return;
    run->context.groups = groups_of(session);
    add_part(run, SCAN_PAYLOAD, message->payload);
    if (message->properties->present != 0)
        add_properties(run, message->properties);
}

void session_scan_end(struct session_scan_run *run)
{
    if (run->parts != run->few)
        free(run->parts);
}

static struct scan_request request_of(const struct session_scan_run *run, size_t check)
{
    const struct session_settings *settings = run->session->settings;
    const struct yara_terms *terms = policy_check(settings->policy, check)->yara;

    return (struct scan_request){.sets = settings->scan_sets[check],
        .context = &run->context,
        .parts = run->parts,
        .part_count = run->part_count,
        .more_parts = run->more_parts,
        .max_scan = terms->max_scan,
        .timeout_ns = terms->timeout_ms * 1000000,
        .views = terms->views};
}

/* ---- here, or later ---- */

static bool may_scan_here(const struct session_scan_run *run)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < run->part_count; i++)
        bytes += run->parts[i].bytes.length;
    return bytes <= run->session->settings->scan_inline && run->part_count <= LOOP_PARTS;
}

/* False: it takes too long here, or what was found is to be stored. */
static bool scan_here(struct session_scan_run *run, size_t check)
{
    const struct session *session = run->session;
    const struct yara_terms *terms = policy_check(session->settings->policy, check)->yara;
    struct scan_request request = request_of(run, check);

    scan_request_for_loop(&request);
    return session->hooks->scan(session->context, &request, &run->here.result) &&
           (terms->on_match != YARA_MATCH_QUARANTINE || run->here.result.count == 0);
}

/* Do both ask the same of other rules? */
static bool asks_alike(const struct yara_terms *a, const struct yara_terms *b)
{
    return a->views == b->views && a->max_scan == b->max_scan && a->timeout_ms == b->timeout_ms;
}

/* One scan with the rules of all checks that ask alike. The checks that it has found nothing for: mostly all
 * of them; with any finding, and where it could not look at everything, none: then each asks for itself. */
static uint64_t scan_together(struct session_scan_run *run)
{
    const struct session *session = run->session;
    const struct policy *policy = session->settings->policy;
    const struct scan_result *result = &run->here.result;
    size_t first = (size_t)__builtin_ctzll(run->checks);
    uint64_t together = 0;

    if ((run->checks & (run->checks - 1)) == 0)
        return 0;
    struct scan_request request = request_of(run, first);
    for (uint64_t rest = run->checks; rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);
        if (!asks_alike(policy_check(policy, check)->yara, policy_check(policy, first)->yara))
            continue;
        request.sets |= session->settings->scan_sets[check];
        together |= UINT64_C(1) << check;
    }
    scan_request_for_loop(&request);
    if ((together & (together - 1)) == 0 ||
        !session->hooks->scan(session->context, &request, &run->here.result) || result->count > 0 ||
        !result->complete || result->error != NULL)
        return 0;
    return together;
}

static void scan_later(struct session_scan_run *run, uint64_t checks)
{
    struct session *session = run->session;
    size_t count = (size_t)__builtin_popcountll(checks), next = 0;
    struct session_scan *scans = memory_calloc(count, sizeof(*scans));

    for (uint64_t rest = checks; rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);
        const struct policy_check_info *info = policy_check(session->settings->policy, check);

        scans[next++] = (struct session_scan){
            .request = request_of(run, check), .quarantine = info->yara->on_match == YARA_MATCH_QUARANTINE};
    }
    session_hold_end(session);
    session->hold.ticket = ++session->tickets;
    session->hold.checks = checks;
    session->hold.of = run->of;
    session->hooks->scan_later(session->context, scans, count, session->hold.ticket);
    free(scans);
}

/* ---- what follows ---- */

static enum policy_deny_publish answer_of(const struct yara_terms *terms, enum reason reason)
{
    if (reason != REASON_payload_matched)
        return POLICY_PUBLISH_REJECT;
    return terms->on_match == YARA_MATCH_DROP         ? POLICY_PUBLISH_DROP
           : terms->on_match == YARA_MATCH_DISCONNECT ? POLICY_PUBLISH_DISCONNECT
                                                      : POLICY_PUBLISH_REJECT;
}

/* False: there is nothing to tell. What refuses is told first: a rule's finding, then what could not be
 * looked at; then what only alerts. */
static bool judge(const struct policy_check_info *info, const struct session_scanned *scanned,
    struct session_scan_found *found)
{
    const struct yara_terms *terms = info->yara;
    const struct scan_result *result = &scanned->result;
    enum reason unfinished = result->error != NULL ? REASON_scan_failed
                             : !result->complete   ? REASON_scan_incomplete
                                                   : REASON_none;
    bool matched = result->count > 0, refuses_match = matched && terms->on_match != YARA_MATCH_ALERT;
    bool refuses_rest = unfinished != REASON_none && terms->on_error == YARA_ERROR_REJECT;

    if (!matched && unfinished == REASON_none)
        return false;
    *found = (struct session_scan_found){.check = info,
        .reason = refuses_match  ? REASON_payload_matched
                  : refuses_rest ? unfinished
                  : matched      ? REASON_payload_matched
                                 : unfinished,
        .refuses = (refuses_match || refuses_rest) && !info->monitor,
        .monitored = (refuses_match || refuses_rest) && info->monitor,
        .scanned = scanned};
    found->answer = answer_of(terms, found->reason);
    return true;
}

/* The check's answer: of the pool, or of a scan here. NULL: it is to be asked later. */
static const struct session_scanned *ask(struct session_scan_run *run, size_t check)
{
    static const struct session_scanned nothing = {.result = {.complete = true}};

    if (run->results != NULL)
        return &run->results[run->asked];
    if (!may_scan_here(run))
        return NULL;
    if (!run->together)
        run->clean = scan_together(run);
    run->together = true;
    if ((run->clean >> check & 1) != 0)
        return &nothing;
    return scan_here(run, check) ? &run->here : NULL;
}

enum session_scan_step session_scan_next(struct session_scan_run *run, struct session_scan_found *found)
{
    const struct policy *policy = run->session->settings->policy;

    while (run->checks != 0) {
        size_t check = (size_t)__builtin_ctzll(run->checks);
        const struct session_scanned *scanned = ask(run, check);

        if (scanned == NULL) {
            scan_later(run, run->checks);
            return SESSION_SCAN_LATER;
        }
        run->checks &= run->checks - 1;
        run->asked++;
        session_count_scan(run->session, check,
            run->results == NULL ? SESSION_SCAN_INLINE : SESSION_SCAN_POOL, &scanned->result);
        if (judge(policy_check(policy, check), scanned, found))
            return SESSION_SCAN_FOUND;
    }
    return SESSION_SCAN_PASSED;
}

static void tell_of_passing(
    struct session *session, struct session_publish *context, enum audit_disposition disposition)
{
    if (disposition == AUDIT_MONITORED)
        session_count_monitored(session, &context->verdict);
    session_audit_publish(
        session, context, session_scan_action(context->scanned, disposition), disposition, -1);
}

bool session_scan_pass(struct session *session, struct session_publish *context, uint64_t checks,
    session_scan_refuse *refuse, struct session_output *output)
{
    const struct session_scan_message message = message_of(context);
    const struct policy_verdict allowed = context->verdict;
    struct session_scan_run run;
    struct session_scan_found found;
    enum session_scan_step step;
    bool refused = false;

    session_scan_begin(&run, session, &message, checks);
    while (!refused && (step = session_scan_next(&run, &found)) == SESSION_SCAN_FOUND) {
        context->scanned = &found;
        context->verdict = (struct policy_verdict){.reason = found.reason, .rule = &found.check->info};
        refused = found.refuses;
        if (refused)
            refuse(session, context, output);
        else
            tell_of_passing(session, context, found.monitored ? AUDIT_MONITORED : AUDIT_INFORMED);
    }
    session_scan_end(&run);
    context->scanned = NULL;
    if (!refused)
        context->verdict = allowed;
    return !refused && step == SESSION_SCAN_PASSED;
}

/* ---- the audit ---- */

static const char *const part_names[] = {[SCAN_PAYLOAD] = "payload",
    [SCAN_USER_PROPERTY] = "user_property",
    [SCAN_CORRELATION_DATA] = "correlation_data"};

/* Adds what is not there yet. */
static void add_once(struct view *items, uint8_t *count, struct view text)
{
    for (uint8_t i = 0; i < *count; i++)
        if (view_equal(items[i], text))
            return;
    if (text.length > 0 && *count < AUDIT_YARA_MAX)
        items[(*count)++] = text;
}

/* "T1105, T1059" */
static void add_techniques(struct audit_event *event, const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, ", ");

        add_once(event->yara_techniques, &event->yara_technique_count, view_of(text, length));
        text += length + strspn(text + length, ", ");
    }
}

static void add_rule(struct audit_event *event, const struct scan_rule *rule)
{
    add_once(event->yara_rules, &event->yara_rule_count, view_of_string(rule->name));
    add_once(event->yara_sets, &event->yara_set_count, view_of_string(rule->set));
    for (size_t i = 0; i < rule->tag_count; i++)
        add_once(event->yara_tags, &event->yara_tag_count, view_of_string(rule->tags[i]));
    add_techniques(event, rule->mitre_attack);
}

static const char *view_text(const struct scan_view_path *path, struct session_scan_text *text)
{
    size_t length = 0;

    if (path->length == 0)
        return "raw";
    for (uint8_t i = 0; i < path->length && length < sizeof(text->view); i++)
        length += (size_t)snprintf(text->view + length, sizeof(text->view) - length, "%s%s",
            i == 0 ? "" : "/", scan_view_name((enum scan_view_kind)path->kinds[i]));
    return text->view;
}

static void add_worst(
    struct audit_event *event, const struct scan_finding *worst, struct session_scan_text *text)
{
    event->yara_id = view_of_string(worst->rule->id);
    event->yara_description = view_of_string(worst->rule->description);
    event->yara_reference = view_of_string(worst->rule->reference);
    event->yara_severity = view_of_string(worst->rule->severity);
    event->has_yara_offset = worst->offset != UINT64_MAX;
    event->yara_offset = event->has_yara_offset ? worst->offset : 0;
    event->yara_view = view_of_string(view_text(&worst->view, text));
    event->yara_part = view_of_string(part_names[worst->part]);
}

/* The event is about the worst: else a harmless finding put in front would hide it. */
static const struct scan_finding *find_worst(const struct scan_result *result, size_t listed)
{
    const struct scan_finding *worst = &result->findings[0];

    for (size_t i = 1; i < listed; i++)
        if (scan_rule_rank(result->findings[i].rule) > scan_rule_rank(worst->rule))
            worst = &result->findings[i];
    return worst;
}

static void add_findings(
    struct audit_event *event, const struct scan_result *result, struct session_scan_text *text)
{
    size_t listed = result->count < SCAN_FINDINGS_MAX ? result->count : SCAN_FINDINGS_MAX;
    const struct scan_finding *worst = find_worst(result, listed);

    add_worst(event, worst, text);
    add_rule(event, worst->rule);
    for (size_t i = 0; i < listed; i++)
        add_rule(event, result->findings[i].rule);
}

enum audit_action session_scan_action(
    const struct session_scan_found *found, enum audit_disposition disposition)
{
    if (found->reason != REASON_payload_matched)
        return AUDIT_scan_failed;
    return disposition == AUDIT_INFORMED || disposition == AUDIT_MONITORED ? AUDIT_payload_matched
                                                                           : AUDIT_payload_blocked;
}

void session_event_scan(
    struct audit_event *event, const struct session_scan_found *found, struct session_scan_text *text)
{
    const struct scan_result *result = &found->scanned->result;

    event->rule = view_of_string(found->check->info.name);
    event->rule_location = view_of_string(found->check->info.location);
    if (result->count > 0)
        add_findings(event, result, text);
    event->yara_matches = result->count;
    if (!result->complete)
        event->scan_incomplete = view_of_string(result->error != NULL        ? result->error
                                                : result->incomplete != NULL ? result->incomplete
                                                                             : "error");
    if (result->error != NULL) {
        snprintf(text->detail, sizeof(text->detail), "%s%s%s", result->error,
            result->error_set == NULL ? "" : ", in the rule set ",
            result->error_set == NULL ? "" : result->error_set);
        event->detail = view_of_string(text->detail);
        add_once(event->yara_sets, &event->yara_set_count, view_of_string(result->error_set));
    }
    event->quarantine = view_of_string(found->scanned->quarantine);
    event->has_quarantine_sha256 = found->scanned->has_quarantine_sha256;
    memcpy(event->quarantine_sha256, found->scanned->quarantine_sha256, sizeof(event->quarantine_sha256));
}
