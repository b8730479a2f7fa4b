/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the commands and the scripts of the shared replay store. Called by replay_shared.c.
 *
 *   <prefix>r:<hash of (kid, sub, nonce)>  "<tag16>|p" or "<tag16>|d", until the message is too old
 *   <prefix>s:<hash of (kid, sub)>         a hash: the window of a sequence, for good
 *
 * The hash is the first 16 bytes of SHA-256(L8(kid) || L8(sub) || nonce), in hex; tag16 the first 16 bytes of
 * the tag, in hex. A window has the fields epoch and highest, and for each counter that was seen, under its
 * number modulo 64, "<counter>:<tag16>|p" or "|d". A field whose counter is another one is as good as none:
 * nothing is cleared when the window slides. */
#include "proxy/replay_command.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/memory.h"

/* As policy/replay_signer.c has it; test/unit compares the two. A new epoch is written in one command before
 * anything of the old one is removed: Redis refuses the first write for want of memory, or none. The two
 * halves of an epoch are compared as numbers that Lua knows exactly; its comparison of texts is the locale's.
 */
const char replay_window_script[] =
    "local what, epoch, counter, tag = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]\n"
    "local known = redis.call('HMGET', KEYS[1], 'epoch', 'highest')\n"
    "local current, highest = known[1], tonumber(known[2] or 0)\n"
    "local slot, seen = string.format('%d', counter % 64), nil\n"
    "if current == epoch and counter <= highest and highest - counter < 64 then\n"
    "  local value, start = redis.call('HGET', KEYS[1], slot) or '', ARGV[3] .. ':'\n"
    "  if string.sub(value, 1, #start) == start then seen = string.sub(value, #start + 1) end\n"
    "end\n"
    "if what == 'undo' then\n"
    "  return seen == tag .. '|p' and redis.call('HDEL', KEYS[1], slot) or 0\n"
    "end\n"
    "local value = ARGV[3] .. ':' .. tag .. '|' .. string.sub(what, 1, 1)\n"
    "if what == 'done' then\n"
    "  if not seen or string.sub(seen, 1, #tag) ~= tag then return 0 end\n"
    "  redis.call('HSET', KEYS[1], slot, value)\n"
    "  return 1\n"
    "end\n"
    "if seen then\n"
    "  if string.sub(seen, 1, #tag) ~= tag then return 3 end\n"
    "  return string.sub(seen, -1) == 'd' and 2 or 1\n"
    "end\n"
    "local function older(a, b)\n"
    "  for from = 1, 9, 8 do\n"
    "    local x, y = tonumber(string.sub(a, from, from + 7), 16), tonumber(string.sub(b, from, from + 7), "
    "16)\n"
    "    if x ~= y then return x < y end\n"
    "  end\n"
    "  return false\n"
    "end\n"
    "if current == epoch then\n"
    "  if counter <= highest and highest - counter >= 64 then return 4 end\n"
    "  redis.call('HSET', KEYS[1], 'highest', string.format('%d', math.max(counter, highest)), slot, value)\n"
    "  return 0\n"
    "end\n"
    "if current and older(epoch, current) then return 4 end\n"
    "redis.call('HSET', KEYS[1], 'epoch', epoch, 'highest', ARGV[3], slot, value)\n"
    "for other = 0, 63 do\n"
    "  local field = string.format('%d', other)\n"
    "  if current and field ~= slot then redis.call('HDEL', KEYS[1], field) end\n"
    "end\n"
    "return 0\n";

const char replay_undo_script[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
                                  "return redis.call('DEL', KEYS[1])\n";

/* ---- subjects ---- */

struct replay_subject replay_subject_of(const struct replay_mark *mark, bool sequence)
{
    struct replay_subject subject = {.sequence = sequence, .until_ms = mark->until_ms};
    uint8_t named[2 + MPS1_KID_MAX + MPS1_SUB_MAX + MPS1_NONCE_SIZE], digest[EVP_MAX_MD_SIZE];
    size_t length = 0;

    assert(mark->kid.length <= MPS1_KID_MAX && mark->sub.length <= MPS1_SUB_MAX);
    named[length++] = (uint8_t)mark->kid.length;
    memcpy(named + length, mark->kid.data, mark->kid.length);
    length += mark->kid.length;
    named[length++] = (uint8_t)mark->sub.length;
    memcpy(named + length, mark->sub.data, mark->sub.length);
    length += mark->sub.length;
    if (!sequence) {
        memcpy(named + length, mark->nonce, MPS1_NONCE_SIZE);
        length += MPS1_NONCE_SIZE;
    }
    if (EVP_Digest(named, length, digest, NULL, EVP_sha256(), NULL) != 1)
        memory_exhausted();
    memcpy(subject.key, digest, sizeof(subject.key));
    memcpy(subject.nonce, mark->nonce, sizeof(subject.nonce));
    memcpy(subject.tag, mark->tag, sizeof(subject.tag));
    return subject;
}

/* ---- words ---- */

static void write_hex(char *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static void say(struct replay_words *words, const char *word)
{
    assert(words->count < REPLAY_WORDS_MAX);
    words->words[words->count++] = view_of_string(word);
}

static void write_key(
    struct replay_words *words, const struct replay_scripts *scripts, const struct replay_subject *subject)
{
    int length =
        snprintf(words->key, sizeof(words->key), "%s%c:", scripts->prefix, subject->sequence ? 's' : 'r');

    assert(length + 2 * REPLAY_KEY_SIZE < (int)sizeof(words->key));
    write_hex(words->key + length, subject->key, REPLAY_KEY_SIZE);
    write_hex(words->tag, subject->tag, REPLAY_TAG_SIZE);
}

static void write_state(struct replay_words *words, enum replay_state state)
{
    memcpy(words->tag + (size_t)2 * REPLAY_TAG_SIZE, state == REPLAY_IS_DONE ? "|d" : "|p", 3);
}

/* what: pending, done, undo, or put as done. */
static void say_window(struct replay_words *words, const struct replay_scripts *scripts,
    const struct replay_subject *subject, const char *what)
{
    uint64_t counter = 0;

    write_key(words, scripts, subject);
    write_hex(words->epoch, subject->nonce, 8);
    for (size_t i = 8; i < MPS1_NONCE_SIZE; i++)
        counter = counter << 8 | subject->nonce[i];
    snprintf(words->number, sizeof(words->number), "%" PRIu64, counter);
    say(words, "EVALSHA");
    say(words, scripts->window);
    say(words, "1");
    say(words, words->key);
    say(words, what);
    say(words, words->epoch);
    say(words, words->number);
    say(words, words->tag);
}

void replay_words_add(struct replay_words *words, const struct replay_scripts *scripts,
    const struct replay_subject *subject, enum replay_state state, uint64_t ttl_ms)
{
    words->count = 0;
    if (subject->sequence) {
        say_window(words, scripts, subject, state == REPLAY_IS_DONE ? "d" : "p");
        return;
    }
    write_key(words, scripts, subject);
    write_state(words, state);
    snprintf(words->number, sizeof(words->number), "%" PRIu64, ttl_ms);
    say(words, "SET");
    say(words, words->key);
    say(words, words->tag);
    say(words, "NX");
    say(words, "PX");
    say(words, words->number);
}

void replay_words_get(
    struct replay_words *words, const struct replay_scripts *scripts, const struct replay_subject *subject)
{
    assert(!subject->sequence);
    words->count = 0;
    write_key(words, scripts, subject);
    say(words, "GET");
    say(words, words->key);
}

void replay_words_done(
    struct replay_words *words, const struct replay_scripts *scripts, const struct replay_subject *subject)
{
    words->count = 0;
    if (subject->sequence) {
        say_window(words, scripts, subject, "done");
        return;
    }
    write_key(words, scripts, subject);
    write_state(words, REPLAY_IS_DONE);
    say(words, "SET");
    say(words, words->key);
    say(words, words->tag);
    say(words, "XX");
    say(words, "KEEPTTL");
}

void replay_words_undo(
    struct replay_words *words, const struct replay_scripts *scripts, const struct replay_subject *subject)
{
    words->count = 0;
    if (subject->sequence) {
        say_window(words, scripts, subject, "undo");
        return;
    }
    write_key(words, scripts, subject);
    write_state(words, REPLAY_IS_PENDING);
    say(words, "EVALSHA");
    say(words, scripts->undo);
    say(words, "1");
    say(words, words->key);
    say(words, words->tag);
}

enum replay_answer replay_compare(struct view remembered, const struct replay_subject *subject)
{
    char tag[2 * REPLAY_TAG_SIZE + 1];
    size_t length = sizeof(tag) - 1;
    char state;

    if (remembered.length != length + 2 || remembered.data[length] != '|')
        return REPLAY_DOWN;
    state = (char)remembered.data[length + 1];
    if (state != 'p' && state != 'd')
        return REPLAY_DOWN;
    write_hex(tag, subject->tag, REPLAY_TAG_SIZE);
    if (memcmp(remembered.data, tag, length) != 0)
        return REPLAY_REUSED;
    return state == 'd' ? REPLAY_DONE : REPLAY_PENDING;
}
