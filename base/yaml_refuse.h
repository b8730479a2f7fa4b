/* SPDX-License-Identifier: Apache-2.0 */
/* What the strict subset refuses in a tree of nodes. Private to base/yaml*.c. */
#ifndef MQWARD_BASE_YAML_REFUSE_H
#define MQWARD_BASE_YAML_REFUSE_H

#include "base/yaml.h"

/* What keys and values alike may not be. True if an error was added. */
bool yaml_refuse_scalar(
    struct diag_list *list, struct view text, bool quoted, const struct diag_place *place);
/* An error for each key that was there before. */
void yaml_refuse_duplicates(struct diag_list *list, const struct yaml_node *mapping);
/* The member before the one that has the key of the first once more, at the beginning of what looks like
 * another item: at least two keys come again. NULL if there is none. */
struct yaml_node *yaml_find_end_of_item(const struct yaml_node *mapping);

#endif
