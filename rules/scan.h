/* SPDX-License-Identifier: Apache-2.0 */
/* Scanning payloads with YARA (payload-scanning.md): the answers of plain libyara over the same bytes, at a
 * small part of its cost.
 *
 *   rule sets --scan_rules_load()--> one generation: compiled, checked, grouped, with its prefilter
 *   a thread's scanner + a generation + a request --scanner_scan()--> findings, errors
 *
 * A generation is immutable, shared by all threads and counted; a scanner binds itself to the one it is
 * given. */
#ifndef MQWARD_RULES_SCAN_H
#define MQWARD_RULES_SCAN_H

#include "base/diag.h"
#include "base/view.h"
#include "rules/views.h"

/* ---- rule sets ---- */

/* A rule set of mqward.yaml. Borrowed for the call. */
struct scan_source {
    const char *name;         /* what the policy calls it; also the namespace of its rules */
    const char *const *paths; /* *.yar files, or folders of them */
    size_t path_count;
    bool allow_slow;            /* slow patterns and costly rules are warnings */
    const char *const *modules; /* that its rules may import */
    size_t module_count;
    uint64_t budget_ns;      /* of a rule, for each KiB of the load-time cost test; 0: no test */
    struct diag_place place; /* that names it */
};
#define SCAN_SETS_MAX 64

struct scan_rules;

/* Compiles all sets. Every error and warning of every file goes to diag; NULL if there was an error. The
 * result has one reference. Slow (seconds with thousands of rules, on several threads): never on a worker's.
 * The rules of a set share a namespace, so that no two have one name, and a global rule is one for all of
 * them; a file is read once, however often it is named or included. */
struct scan_rules *scan_rules_load(const struct scan_source *sources, size_t count, struct diag_list *diag);

/* What a rule costs, in ns of CPU time for each KiB, less the walk over the bytes that all rules share. */
struct scan_cost {
    const char *set, *rule; /* for the call; rule NULL: the set can't be cut, and this is all of it */
    uint64_t messages_ns;   /* of the messages that were given */
    uint64_t hostile_ns;    /* of the dearest hostile payload; UINT64_MAX: libyara gives up on it */
    const char *hostile;    /* its name, a literal */
};
struct scan_measure {
    const struct view *messages; /* scanned as they are, without a context */
    size_t message_count;
    void (*each)(void *context, const struct scan_cost *cost);
    void *context;
};
/* For tools. Zero is what the proxy does. */
struct scan_load {
    size_t
        group_rules; /* that share a scanner; 1: calls of a group (scanner_group_calls) are those of a rule */
    const struct scan_measure *measure; /* each rule is measured by itself: milliseconds for each; or NULL */
    bool plain;     /* for scanner_scan_plainly(): it takes time and memory that nobody else needs */
    bool automaton; /* the prefilter walks libyara's automata, as it does where Hyperscan is not there */
};
struct scan_rules *scan_rules_load_with(
    const struct scan_source *sources, size_t count, struct diag_list *diag, const struct scan_load *how);
struct scan_rules *scan_rules_retain(struct scan_rules *rules);
void scan_rules_release(struct scan_rules *rules); /* NULL is fine */
/* The caller's reference is the only one. */
bool scan_rules_is_last(const struct scan_rules *rules);

struct scan_meta {
    const char *name;
    const char *text; /* NULL: it is a number or a boolean */
    int64_t number;
};

/* A rule, as long as its generation lives. */
struct scan_rule {
    const char *name, *set; /* set: of the source */
    const char *path;       /* of its file; NULL: the set can't be cut into its rules */
    uint32_t line;          /* from 1 */
    const char *const *tags;
    size_t tag_count;
    /* of its meta; NULL: none */
    const char *description, *reference, *id, *severity, *mitre_attack, *action;
    const struct scan_meta *meta; /* all of it */
    size_t meta_count;
    bool hidden; /* private: it is for other rules, and never a finding */
    bool always; /* libyara runs it for every payload */
};
/* By its severity: 0 low, 1 medium, 2 high, 3 critical; one that says nothing else is critical. */
unsigned scan_rule_rank(const struct scan_rule *rule);
size_t scan_rules_count(const struct scan_rules *rules);
const struct scan_rule *scan_rules_at(const struct scan_rules *rules, size_t index);
/* The bit of a set by its name; 0: there is none. */
uint64_t scan_rules_set(const struct scan_rules *rules, const char *name);

struct scan_rules_stats {
    size_t sets, rules, groups, always_rules, always_groups;
    size_t literals;    /* of the prefilter */
    const char *engine; /* of the prefilter: "hyperscan", or "automaton" (libyara's own) */
};
struct scan_rules_stats scan_rules_stats(const struct scan_rules *rules);
/* The rules of a group (numbers from 0 to stats.groups): the first max of them go to members. Returns how
 * many it has. */
size_t scan_rules_group(
    const struct scan_rules *rules, size_t group, const struct scan_rule **members, size_t max);

/* ---- a scan ---- */

/* What rules can ask for, as external variables. */
struct scan_context {
    struct view topic, client_id, username, identity, groups, content_type; /* groups: joined by "," */
    unsigned qos;
    bool retain, outbound;
    uint64_t payload_size;
};

/* Bytes of a message: its payload, the values of its User Properties, its correlation data. */
struct scan_part {
    enum scan_part_kind { SCAN_PAYLOAD, SCAN_USER_PROPERTY, SCAN_CORRELATION_DATA } kind;
    struct view bytes;
};

struct scan_finding;
struct scan_request {
    uint64_t sets; /* bits of those that apply */
    const struct scan_context *context;
    const struct scan_part *parts;
    size_t part_count;
    bool more_parts;     /* the message has more: the result is incomplete ("parts") */
    size_t max_scan;     /* bytes of a view that are looked at; the rest is not (the result says so) */
    uint64_t timeout_ns; /* of thread CPU time, for decoding and libyara, of all parts and views */
    unsigned views;      /* kinds of decoded views besides the raw one, as bits (views.h) */
    /* Above this work (see the result), and above the timeout, the scan is given up: for threads that must
     * not be held. 0: any. */
    uint64_t work_max;
    /* Hears of each finding, also of those beyond SCAN_FINDINGS_MAX, for the call; NULL: nobody does. */
    void (*each)(void *each_context, const struct scan_finding *finding);
    void *each_context;
};

/* Bounds the request for a thread that must not be held longer than a few milliseconds, whatever the message
 * and the rules. */
void scan_request_for_loop(struct scan_request *request);

struct scan_finding {
    const struct scan_rule *rule;
    enum scan_part_kind part;
    size_t part_index;          /* in the request */
    struct scan_view_path view; /* how the bytes were decoded */
    uint64_t offset;            /* of a match in the view; UINT64_MAX: none of its strings matched */
};

#define SCAN_FINDINGS_MAX 32
struct scan_result {
    /* The first of them; where there are more, each rule once before one of them twice, and the worst rules:
     * or many harmless findings would hide one that is not. */
    struct scan_finding findings[SCAN_FINDINGS_MAX];
    size_t count;           /* all of them */
    bool complete;          /* everything was looked at */
    const char *error;      /* a literal; NULL: none. An error leaves the rest of the findings as they are */
    const char *error_set;  /* as long as the generation lives; NULL: it is about none */
    const char *incomplete; /* why not complete: a literal, such as "max_scan", "ratio" */
    uint64_t
        work; /* bytes that decoders read and inflated, those that libyara got, by its groups, and time */
    uint64_t spent_ns; /* of the thread's CPU time, since libyara, or a decoder with much to do, began; 0:
                          neither did */
    bool given_up;     /* work_max: nothing else of the result but work means anything */
};

struct scanner;

struct scanner *scanner_new(void);
void scanner_free(struct scanner *scanner); /* NULL is fine */
/* Lets go of the generation that it scanned with last, and of all that it keeps for it. */
void scanner_release_rules(struct scanner *scanner);
/* How often it called libyara for a group of the generation that it scanned with last: what the rules of the
 * group cost. Only by its own thread. */
uint64_t scanner_group_calls(const struct scanner *scanner, size_t group);
/* One thread at a time. Findings are in the order of parts, views and rules. */
void scanner_scan(struct scanner *scanner, struct scan_rules *rules, const struct scan_request *request,
    struct scan_result *result);
/* The same by plain libyara, every rule and no shortcut: what the pipeline is held to. An error of one rule
 * takes the findings of its whole set away. The rules are loaded with .plain. */
void scanner_scan_plainly(struct scanner *scanner, struct scan_rules *rules,
    const struct scan_request *request, struct scan_result *result);

#endif
