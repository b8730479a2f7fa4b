/* SPDX-License-Identifier: Apache-2.0 */
/* The trie over topic levels that holds the patterns of all rules, shared by all sessions. Edges are
 * literals, '+' or placeholders, whose values the session supplies. */
#ifndef MQWARD_POLICY_RULE_TRIE_H
#define MQWARD_POLICY_RULE_TRIE_H

#include "policy/region.h"

struct policy_rule;
struct rule_trie;

/* A rule's pattern that ends at a place of the trie. */
struct rule_reference {
    const struct policy_rule *rule;
    const struct pattern *pattern;
};

/* The references of one place: first those of except:, then those of topics:. */
struct rule_terminal {
    const struct rule_reference *references;
    uint32_t except_count;
    uint32_t count;
};

/* A terminal that a topic reaches. unknown: on its way is a placeholder whose value is not known, so that it
 * is not known either whether it matches: whoever gets it decides for denial. */
struct rule_hit {
    const struct rule_terminal *terminal;
    bool unknown;
};

#define RULE_HITS_INLINE 24
struct rule_hits {
    size_t count;
    size_t capacity;
    struct rule_hit *items;
    struct rule_hit inline_items[RULE_HITS_INLINE];
};

struct rule_trie *rule_trie_new(struct arena *arena); /* lives in the arena */
/* Whom a rule is about, in one word: of two that have no bit in common, neither concerns the other. */
struct rule_scope {
    unsigned verbs;  /* bits of the rule's own that walks are asked for */
    uint64_t groups; /* group_sets_fold() */
};
void rule_trie_add(struct rule_trie *trie, const struct policy_rule *rule, const struct pattern *pattern,
    bool except, struct rule_scope scope);
/* Makes it ready for the functions below; frees what only building needs. */
void rule_trie_finish(struct rule_trie *trie);
/* Levels of the deepest pattern, '#' not counted. */
size_t rule_trie_depth(const struct rule_trie *trie);
size_t rule_trie_nodes(const struct rule_trie *trie);

/* All terminals whose pattern matches the topic (or the witness) of region's first count levels, where rules
 * with one of verbs are; rules with none of them may be among the references. No node is visited twice. Free
 * the hits with rule_hits_release(). */
void rule_trie_match(const struct rule_trie *trie, unsigned verbs, const struct view *values,
    const struct region *region, size_t count, struct rule_hits *hits);
void rule_hits_release(struct rule_hits *hits);

/* Calls visit for all such terminals whose pattern has a topic in common with region, until it returns false;
 * where no rule is about any of scope.groups it does not look, so that a filter like # does not cost what all
 * others may. */
typedef bool rule_trie_visit(void *context, const struct rule_terminal *terminal, bool unknown);
void rule_trie_overlap(const struct rule_trie *trie, struct rule_scope scope, const struct view *values,
    const struct region *region, rule_trie_visit *visit, void *context);

#endif
