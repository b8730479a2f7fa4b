/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the printing of texts that come from clients: topics, identities. Called by subcommands that show
 * audit records. */
#include "proxy/cli/text.h"

#include "base/character.h"

void text_print(FILE *out, struct view text)
{
    while (text.length > 0) {
        size_t length = utf8_sequence_length(text);
        uint32_t character = length == 0 ? 0 : character_decode(text, &length);
        bool plain = length > 0 && !character_is_control(character) && !character_is_reordering(character) &&
                     !character_is_separator(character) && !character_is_invisible(character);
        if (plain)
            fwrite(text.data, 1, length, out);
        else
            fputc('?', out);
        text = view_skip(text, length == 0 ? 1 : length);
    }
}
