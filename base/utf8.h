/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 and [MQTT-1.5.4-1] have it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef MQWARD_BASE_UTF8_H
#define MQWARD_BASE_UTF8_H

#include "base/view.h"

/* Length in bytes of the well-formed sequence at the start of v, 0 if there is none. */
size_t utf8_sequence_length(struct view v);
/* True if all of v is well-formed. U+0000 counts as well-formed here; MQTT's ban on it is the codec's. */
bool utf8_valid(struct view v);

#endif
