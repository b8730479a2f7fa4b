/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the files and words that people bring from acl_file, acl.conf, IAM policies and their habits, and what
 * to write instead. The tables of parse*.c name the lists; a new word is a row. Words that the distance of
 * letters leads to what is meant need none. */
#include "policy/parse.h"

/* ---- whole files ---- */

/* "topic read a/#", and not "topic: a" of a policy. */
static bool is_acl_file_line(struct view line)
{
    static const char *const beginnings[] = {"user ", "topic ", "pattern "};
    bool begins = false;
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
        begins = begins || view_starts_with(line, view_of_string(beginnings[i]));
    return begins && memmem(line.data, line.length, ": ", 2) == NULL && !view_ends_with(line, VIEW(":"));
}

static bool is_acl_conf_line(struct view line)
{
    return view_starts_with(line, VIEW("{allow,")) || view_starts_with(line, VIEW("{deny,"));
}

/* The first line that is neither empty nor a comment of theirs; its number, or 0. */
static uint32_t first_line(struct view text, struct view *line)
{
    for (uint32_t number = 1; text.length > 0; number++) {
        const uint8_t *end = memchr(text.data, '\n', text.length);
        size_t length = end == NULL ? text.length : (size_t)(end - text.data);
        *line = view_of(text.data, length);
        text = view_skip(text, length + (end == NULL ? 0 : 1));
        if (line->length > 0 && line->data[line->length - 1] == '\r')
            line->length--;
        if (line->length > 0 && line->data[0] != '#' && line->data[0] != '%')
            return number;
    }
    return 0;
}

bool parse_refuse_foreign_file(const struct diag_source *source, struct diag_list *diag)
{
    struct view line;
    uint32_t number = first_line(source->text, &line);
    const char *what = number == 0              ? NULL
                       : is_acl_file_line(line) ? "this is an acl_file of Mosquitto, not a policy"
                       : is_acl_conf_line(line) ? "this is an acl.conf of EMQX, not a policy"
                                                : NULL;
    struct diag_place place = {source, number, 1, number == 0 ? 1 : (uint32_t)line.length};
    if (what != NULL)
        diag_add(diag, DIAG_ERROR, &place,
            "the manual's page docs/policy-migration.md shows how each of its lines is written in a policy",
            "%s", what);
    return what != NULL;
}

/* ---- words ---- */

static const char belongs_in_configuration[] = "it belongs in mqward.yaml";
static const char default_is_deny[] = "everything is denied that no rule allows";
static const char allow_or_deny[] = "write 'allow: publish' or 'deny: publish'";
static const char name_group[] = "write 'who: <group>'; groups are defined under 'groups'";
static const char name_topics[] = "write 'topics: [dt/<id>/#]'";

const struct keyword_foreign parse_foreign_policy[] = {
    {"listeners", belongs_in_configuration, NULL},
    {"upstreams", belongs_in_configuration, NULL},
    {"cas", belongs_in_configuration, NULL},
    {"password_files", belongs_in_configuration, NULL},
    {"jwks", belongs_in_configuration, NULL},
    {"workers", belongs_in_configuration, NULL},
    {"log", belongs_in_configuration, NULL},
    {"strict", belongs_in_configuration, NULL},
    {"drain", belongs_in_configuration, NULL},
    {"name", "write 'policy: plant-a'", "policy"},
    {"acl", "write 'rules'", "rules"},
    {"acls", "write 'rules'", "rules"},
    {"permissions", "write 'rules'", "rules"},
    {"statement", "write 'rules'", "rules"},
    {"roles", "write 'groups'", "groups"},
    {"users", "passwords are in the file that mqward.yaml names; a group names users: {ids: [eva, adam]}",
        NULL},
    {"auth", "write 'identity'", "identity"},
    {"authn", "write 'identity'", "identity"},
    {"authentication", "write 'identity'", "identity"},
    {"allow_anonymous", "write '- anonymous: {}' under 'identity'", NULL},
    {"default", default_is_deny, NULL},
    {"default_action", default_is_deny, NULL},
    {"no_match", default_is_deny, NULL},
    {"allow", "it belongs into a rule, under 'rules'", NULL},
    {"deny", "it belongs into a rule, under 'rules'", NULL},
    {"include", "a policy of several files is a folder", NULL},
    {"includes", "a policy of several files is a folder", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_rule[] = {
    {"action", allow_or_deny, "allow"},
    {"actions", allow_or_deny, "allow"},
    {"access", allow_or_deny, "allow"},
    {"acl", allow_or_deny, "allow"},
    {"effect", allow_or_deny, "allow"},
    {"permission", allow_or_deny, "allow"},
    {"verb", allow_or_deny, "allow"},
    {"verbs", allow_or_deny, "allow"},
    {"user", name_group, "who"},
    {"users", name_group, "who"},
    {"username", name_group, "who"},
    {"client", name_group, "who"},
    {"clients", name_group, "who"},
    {"group", name_group, "who"},
    {"groups", name_group, "who"},
    {"principal", name_group, "who"},
    {"role", name_group, "who"},
    {"subject", name_group, "who"},
    {"filter", name_topics, "topics"},
    {"filters", name_topics, "topics"},
    {"pattern", name_topics, "topics"},
    {"patterns", name_topics, "topics"},
    {"resource", name_topics, "topics"},
    {"resources", name_topics, "topics"},
    {"name", "write 'rule: <name>'", "rule"},
    {"id", "write 'rule: <name>'", "rule"},
    {"description", "write a comment: # ...", NULL},
    {"comment", "write a comment: # ...", NULL},
    {"priority", "the order of rules has no meaning: a deny wins wherever it stands", NULL},
    {"order", "the order of rules has no meaning: a deny wins wherever it stands", NULL},
    {"qos", "write 'if: {max_qos: 1}'", NULL},
    {"size", "write 'if: {max_size: 64KiB}'", NULL},
    {"condition", "write 'if: {max_qos: 1}'", NULL},
    {"conditions", "write 'if: {max_qos: 1}'", NULL},
    {"when", "write 'if: {max_qos: 1}'", NULL},
    {"exclude", "write 'except'", NULL},
    {"not", "write 'except' for topics, 'unless' for groups", NULL},
    {"enabled", "write 'mode: monitor', or make a comment of the rule", NULL},
    {"disabled", "write 'mode: monitor', or make a comment of the rule", NULL},
    {"rate", "it belongs into a check, under 'checks'", NULL},
    {"signature", "it belongs into a check, under 'checks'", NULL},
    {"yara", "it belongs into a check, under 'checks'", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_condition[] = {
    {"qos", "write 'max_qos: 1'", NULL},
    {"size", "write 'max_size: 64KiB'", NULL},
    {"max_payload", "write 'max_size: 64KiB'", NULL},
    {"payload", "write 'max_size: 64KiB'", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_verb[] = {
    {"read", "write subscribe, which grants delivery, too", NULL},
    {"write", "write publish", NULL},
    {"readwrite", "write [publish, subscribe]", NULL},
    {"pubsub", "write [publish, subscribe]", NULL},
    {"all", "write [publish, subscribe]", NULL},
    {"any", "write [publish, subscribe]", NULL},
    {"both", "write [publish, subscribe]", NULL},
    {"*", "write [publish, subscribe]", NULL},
    {"deliver", "write receive", NULL},
    {"connect", "who may connect, 'identity' says", NULL},
    {"unsubscribe", "nobody is kept from unsubscribing", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_mode[] = {
    {"dry-run", "write monitor", NULL},
    {"dry_run", "write monitor", NULL},
    {"audit", "write monitor", NULL},
    {"permissive", "write monitor", NULL},
    {"report", "write monitor", NULL},
    {"disabled", "write monitor, which blocks nothing", NULL},
    {"enabled", "write enforce", NULL},
    {"strict", "write enforce", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_deny_publish[] = {
    {"refuse", "write reject", NULL},
    {"ignore", "write drop", NULL},
    {"close", "write disconnect", NULL},
    {"kick", "write disconnect", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_deny_subscribe[] = {
    {"reject", "write refuse", NULL},
    {"ignore", "the client is always told: write refuse", NULL},
    {"drop", "the client is always told: write refuse", NULL},
    {"close", "write disconnect", NULL},
    {"kick", "write disconnect", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_group[] = {
    {"user", "write 'ids: [eva]'", NULL},
    {"users", "write 'ids: [eva, adam]'", NULL},
    {"username", "write 'ids: [eva]'", NULL},
    {"usernames", "write 'ids: [eva, adam]'", NULL},
    {"names", "write 'ids: [eva, adam]'", NULL},
    {"members", "write 'ids: [eva, adam]' for identities, 'member' for groups that a token names", NULL},
    {"cn", "write 'ids: [plc-*]'; what the identity is, the 'cert' source says", NULL},
    {"client_id", "clients choose it: bind it with 'client_id: <id>', and write 'ids'", NULL},
    {"clientid", "clients choose it: bind it with 'client_id: <id>', and write 'ids'", NULL},
    {"ip", "write 'net: [10.20.0.0/16]'", NULL},
    {"ipaddr", "write 'net: [10.20.0.0/16]'", NULL},
    {"address", "write 'net: [10.20.0.0/16]'", NULL},
    {"cidr", "write 'net: [10.20.0.0/16]'", NULL},
    {"role", "write 'member', for a group that a token names", NULL},
    {"roles", "write 'member', for a group that a token names", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_source[] = {
    {"x509", "write cert", "cert"},
    {"tls", "write cert", "cert"},
    {"mtls", "write cert", "cert"},
    {"token", "write jwt", "jwt"},
    {"oauth", "write jwt", "jwt"},
    {"oauth2", "write jwt", "jwt"},
    {"oidc", "write jwt", "jwt"},
    {"user", "write password", "password"},
    {"username", "write password, or broker where the broker checks it", "password"},
    {"basic", "write password", "password"},
    {"none", "write anonymous", "anonymous"},
    {"guest", "write anonymous", "anonymous"},
    {"client_id", "write 'broker: {id: client_id}'", "broker"},
    {0},
};

const struct keyword_foreign parse_foreign_cert[] = {
    {"field", "write 'id: cn'", "id"},
    {"subject", "write 'id: cn'", "id"},
    {"cn", "write 'id: cn'", "id"},
    {"attributes", "write 'attrs: {site: ou}'", NULL},
    {"prefix", "write 'strip'", NULL},
    {"ca_file", "write 'ca', and a name that mqward.yaml defines under 'cas'", "ca"},
    {"cafile", "write 'ca', and a name that mqward.yaml defines under 'cas'", "ca"},
    {0},
};

static const char keys_are_elsewhere[] = "keys are in the set that mqward.yaml names under 'jwks'";
static const char names_are_elsewhere[] = "names and passwords are in the file that mqward.yaml names";

const struct keyword_foreign parse_foreign_jwt[] = {
    {"alg", "write 'algs: [ES256]'", "algs"},
    {"algorithm", "write 'algs: [ES256]'", "algs"},
    {"algorithms", "write 'algs: [ES256]'", "algs"},
    {"iss", "write 'issuer'", "issuer"},
    {"aud", "write 'audience'", "audience"},
    {"claim", "write 'id: sub'", NULL},
    {"sub", "write 'id: sub'", NULL},
    {"leeway", "write 'skew: 30s'", NULL},
    {"clock_skew", "write 'skew: 30s'", NULL},
    {"key", keys_are_elsewhere, "jwks"},
    {"public_key", keys_are_elsewhere, "jwks"},
    {"secret", keys_are_elsewhere, "jwks"},
    {"jwks_uri", "mqward fetches nothing: mqward.yaml names a file under 'jwks'", "jwks"},
    {"jwks_url", "mqward fetches nothing: mqward.yaml names a file under 'jwks'", "jwks"},
    {"url", "mqward fetches nothing: mqward.yaml names a file under 'jwks'", "jwks"},
    {0},
};

#define NOT_VERIFIED "mqward verifies RS256, ES256, EdDSA and HS256"
const struct keyword_foreign parse_foreign_algorithm[] = {
    {"none", "a token without a signature is never believed", NULL},
    {"RS384", NOT_VERIFIED, NULL},
    {"RS512", NOT_VERIFIED, NULL},
    {"ES384", NOT_VERIFIED, NULL},
    {"ES512", NOT_VERIFIED, NULL},
    {"ES256K", NOT_VERIFIED, NULL},
    {"HS384", NOT_VERIFIED, NULL},
    {"HS512", NOT_VERIFIED, NULL},
    {"PS256", NOT_VERIFIED, NULL},
    {"PS384", NOT_VERIFIED, NULL},
    {"PS512", NOT_VERIFIED, NULL},
    {"Ed25519", "write EdDSA", NULL},
    {0},
};

const struct keyword_foreign parse_foreign_password[] = {
    {"user", names_are_elsewhere, "file"},
    {"username", names_are_elsewhere, "file"},
    {"users", names_are_elsewhere, "file"},
    {"password", names_are_elsewhere, "file"},
    {"hash", names_are_elsewhere, "file"},
    {"path", "write 'file', and a name that mqward.yaml defines under 'password_files'", "file"},
    {0},
};

const struct keyword_foreign parse_foreign_test[] = {
    {"client", "write 'as: cert plc-7 site=a'", "as"},
    {"user", "write 'as: password eva'", "as"},
    {"who", "write 'as: password eva'", "as"},
    {"can", "write 'allow'", "allow"},
    {"cannot", "write 'deny'", "deny"},
    {0},
};
