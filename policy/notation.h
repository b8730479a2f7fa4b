/* SPDX-License-Identifier: Apache-2.0 */
/* The notation of tests and of 'policy explain': a client ("cert plc-7 site=a") and an act ("publish
 * dt/a/plc-7/temp qos=1"), turned into what the daemon would give to the policy. Private to policy/. */
#ifndef MQWARD_POLICY_NOTATION_H
#define MQWARD_POLICY_NOTATION_H

#include "policy/compiled.h"
#include "policy/parse.h"
#include "policy/test.h"

/* A line of the notation, split into words. */
struct notation_word {
    struct view text; /* without quotes and escapes */
    struct view raw;  /* as it is written, for pointing at it */
};
enum notation_expectation { ACT_OPEN, ACT_ALLOWED, ACT_DENIED };
struct notation {
    const struct policy *policy;
    struct arena *arena;
    struct diag_list *diag;
    /* The policy has errors already: what it does not define may be what they are about, and is not
     * reported. */
    bool unsure;
    /* Of the act: of a test, which may have "by"; ACT_OPEN: the words come from the command line. */
    enum notation_expectation expectation;
    const struct keyword_string *line;
    struct notation_word *words;
    size_t count, next;
};

/* A client as the notation gives it. Everything lives in the notation's arena. */
struct notated_client {
    const struct identity_row *row; /* NULL: the policy has errors */
    struct view id;
    struct policy_credentials credentials;
    bool has_client_id;
    enum dialect dialect;
    const char *ca, *jwks;               /* of the row to take; NULL: any */
    const struct notation_word *chooser; /* the word that says so */
    struct view *members;                /* groups that its token names */
    size_t member_count;
    const struct notation_word *member; /* the last of them */
    struct notated_attribute {
        const struct notation_word *word;
        struct view name, value;
    } * attributes;
    size_t attribute_count;
};

struct notated_act {
    enum policy_act act;
    struct view topic; /* topic name or filter */
    uint8_t qos;
    bool retain;
    uint64_t size;
    struct view kid;      /* of a valid signature, with its generation; empty: the message has none */
    struct view signer;   /* empty: the client's identity */
    struct view *matches; /* rule sets that find something in it */
    size_t match_count;
    struct view by; /* empty: not given */
};

/* Splits the line. False after an error was added. */
bool notation_split(struct notation *notation, const struct keyword_string *line);
/* Source, identity and key=value words, until one without '='. False after errors were added. */
bool notation_read_client(struct notation *notation, struct notated_client *out);
/* What is done, until the end of the line. */
bool notation_read_act(
    struct notation *notation, enum notation_expectation expectation, struct notated_act *out);
/* An error unless all words were read. */
bool notation_at_end(struct notation *notation);

/* What policy.tests points to. */
struct policy_test {
    const char *as; /* as it is written */
    struct notated_client client;
    struct policy_test_case {
        const char *text; /* as it is written, without "by" */
        const char *location;
        const char *by; /* NULL: not given */
        bool expects_allow;
        struct notated_act act;
    } * cases;
    size_t case_count;
};

/* An error about a word. Returns false. */
bool notation_refuse(struct notation *notation, const struct notation_word *word, const char *hint,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Gives the credentials to policy_identify() and the act to the policy's decision. *subject: as
 * policy_identify() gives it, but NULL where the client is refused, in monitor mode, too. */
void notation_identify(const struct policy *policy, const struct notated_client *client,
    struct policy_subject **subject, struct policy_outcome *outcome);
/* What it asks the policy: of publish, will, receive; of subscribe. */
struct policy_request notation_request(enum dialect dialect, const struct notated_act *act);
struct policy_subscribe_request notation_subscribe_request(
    enum dialect dialect, const struct notated_act *act);
void notation_decide(const struct policy *policy, const struct policy_subject *subject, enum dialect dialect,
    const struct notated_act *act, struct policy_outcome *outcome);

/* What a check says to a message whose signature is valid, fresh and new, or not there: REASON_none,
 * REASON_sig_missing, _sig_key_unknown or _sig_identity; and to one that is scanned to its end:
 * REASON_payload_matched. */
enum reason notation_ask_check(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_check *check, const struct notated_act *act);
/* Does the check only report what it has a reason against? */
bool notation_only_reports(const struct policy_check_info *check);
/* Of the checks that a message is to pass, as bits, those that decide about it. */
uint64_t notation_checks_to_ask(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_act *act, uint64_t checks);
/* Lets outcome->checks take from what the rules allow. */
void notation_ask_checks(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_act *act, struct policy_outcome *outcome);

#endif
