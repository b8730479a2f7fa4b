/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the choice of what is kept of a message. Called by scan_pool.c and quarantine_writer.c. */
#include "proxy/scan_evidence.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/scan_describe.h"

static bool is_to_be_stored(const struct scan_job *job, size_t scan)
{
    return job->scans[scan].quarantine && job->results[scan].result.count > 0;
}

bool scan_evidence_wanted(const struct scan_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        if (is_to_be_stored(job, i))
            return true;
    return false;
}

/* kept NULL: nothing is. */
static void tell(struct scan_job *job, enum quarantine_result result, const struct scan_kept *kept)
{
    for (size_t i = 0; i < job->count; i++) {
        struct session_scanned *scanned = &job->results[i];

        if (!is_to_be_stored(job, i))
            continue;
        scanned->quarantine = quarantine_result_name(result);
        scanned->has_quarantine_sha256 = kept != NULL;
        if (kept != NULL)
            memcpy(scanned->quarantine_sha256, kept->sha256, sizeof(kept->sha256));
    }
}

void scan_evidence_lose(struct scan_job *job, enum quarantine_result why)
{
    tell(job, why, NULL);
}

/* ---- which parts ---- */

static bool digest(struct view bytes, uint8_t sha256[32])
{
    return EVP_Digest(bytes.data, bytes.length, sha256, NULL, EVP_sha256(), NULL) == 1;
}

/* By their number: something was found there that is to be stored. Owned by the caller. */
static bool *find_parts(const struct scan_job *job)
{
    bool *found = memory_calloc(job->part_count + 1, sizeof(*found));

    for (size_t i = 0; i < job->count; i++) {
        const struct scan_result *result = &job->results[i].result;
        size_t listed = result->count < SCAN_FINDINGS_MAX ? result->count : SCAN_FINDINGS_MAX;

        for (size_t j = 0; is_to_be_stored(job, i) && j < listed; j++)
            found[result->findings[j].part_index] = true;
    }
    return found;
}

/* Bytes that are there already are kept once. False: there is no digest. */
static bool add_part(const struct scan_job *job, size_t part, struct scan_description *description)
{
    struct scan_kept kept = {.part = part};

    if (!digest(job->parts[part].bytes, kept.sha256))
        return false;
    for (size_t i = 0; i < description->kept_count; i++)
        if (memcmp(description->kept[i].sha256, kept.sha256, sizeof(kept.sha256)) == 0)
            return true;
    if (description->kept_count == SCAN_KEPT_MAX)
        description->more_kept = true;
    else
        description->kept[description->kept_count++] = kept;
    return true;
}

/* The payload first. */
static bool choose(const struct scan_job *job, struct scan_description *description)
{
    bool *found = find_parts(job), right = true;

    for (int payload = 1; payload >= 0; payload--)
        for (size_t i = 0; right && !description->more_kept && i < job->part_count; i++)
            if (found[i] && (job->parts[i].kind == SCAN_PAYLOAD) == payload)
                right = add_part(job, i, description);
    free(found);
    return right;
}

/* A message without a payload has an empty one. */
static struct view payload_of(const struct scan_job *job)
{
    for (size_t i = 0; i < job->part_count; i++)
        if (job->parts[i].kind == SCAN_PAYLOAD)
            return job->parts[i].bytes;
    return (struct view){NULL, 0};
}

/* ---- storing ---- */

static enum quarantine_result store_part(
    struct quarantine *quarantine, const struct scan_job *job, const struct scan_description *description)
{
    const struct scan_kept *kept = &description->kept[description->which];
    struct buffer text = {0};
    enum quarantine_result result;

    scan_describe(description, &text);
    result = quarantine_store(quarantine, kept->sha256, job->parts[kept->part].bytes, buffer_view(&text));
    buffer_release(&text);
    return result;
}

/* Of two parts: what is lost is said before what is new, and that before what was there. */
static enum quarantine_result worse(enum quarantine_result a, enum quarantine_result b)
{
    static const unsigned char ranks[] = {
        [QUARANTINE_KNOWN] = 0, [QUARANTINE_STORED] = 1, [QUARANTINE_FULL] = 2, [QUARANTINE_FAILED] = 3};

    return ranks[a] >= ranks[b] ? a : b;
}

void scan_evidence_store(struct quarantine *quarantine, struct scan_job *job)
{
    struct scan_description description = {.wall_us = clock_wall_us(),
        .payload = payload_of(job),
        .scans = job->scans,
        .results = job->results,
        .count = job->count};
    enum quarantine_result all = QUARANTINE_KNOWN;
    const struct scan_kept *first = NULL;

    if (!choose(job, &description) || !digest(description.payload, description.payload_sha256)) {
        scan_evidence_lose(job, QUARANTINE_FAILED);
        return;
    }
    for (size_t i = 0; i < description.kept_count; i++) {
        description.which = i;
        enum quarantine_result result = store_part(quarantine, job, &description);

        if (first == NULL && (result == QUARANTINE_STORED || result == QUARANTINE_KNOWN))
            first = &description.kept[i];
        all = worse(all, result);
    }
    tell(job, all, first);
}
