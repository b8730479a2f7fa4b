/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of policies for the verbs of 'mqward policy'. */
#include "proxy/cli/policy_input.h"

#include "proxy/service.h"

void policy_input_open_config(struct policy_input *source, const char *path)
{
    const struct config *partial = NULL;

    *source = (struct policy_input){.arena = arena_new(), .diag = diag_list_new(), .path = path};
    source->config = config_load(path, source->arena, source->diag, &partial);
    if (partial == NULL || partial->policy.path == NULL)
        return;
    const struct policy_names names = snapshot_policy_names(partial, NULL, source->arena);
    source->path = partial->policy.path;
    source->policy = policy_load_untested(partial->policy.path, &names, source->diag, &partial->policy.place);
}

void policy_input_open_policy(struct policy_input *source, const char *path)
{
    *source = (struct policy_input){.arena = arena_new(), .diag = diag_list_new(), .path = path};
    source->policy = policy_load_untested(path, NULL, source->diag, NULL);
}

void policy_input_close(struct policy_input *source)
{
    policy_release(source->policy);
    diag_list_free(source->diag);
    arena_free(source->arena);
}

void policy_json_text(struct json *json, const char *key, const char *text)
{
    if (text == NULL)
        json_write_null(json, key);
    else
        json_write_string(json, key, view_of_string(text));
}

void policy_json_rule(struct json *json, const char *key, const struct policy_rule_info *rule)
{
    if (rule == NULL) {
        json_write_null(json, key);
        return;
    }
    json_write_object_begin(json, key);
    policy_json_text(json, "name", rule->name);
    policy_json_text(json, "location", rule->location);
    json_write_object_end(json);
}
