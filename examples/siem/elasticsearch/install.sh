#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the data stream logs-mqward.audit-default needs, in this order. Again after an upgrade: the same, and a
# rollover (POST logs-mqward.audit-default/_rollover) puts new mappings in force.
#
#   ES=https://siem:9200 ES_API_KEY=... [ES_CA=ca.pem] ./install.sh
set -euo pipefail
: "${ES:?the address of Elasticsearch, such as https://siem:9200}" "${ES_API_KEY:?an API key: cluster rights manage_ilm, manage_index_templates, manage_ingest_pipelines}"
cd "$(dirname "$0")"

# put PATH FILE. The key is in a header that curl reads from its standard input, so that no list of processes has it.
put() {
    printf 'header = "Authorization: ApiKey %s"\n' "$ES_API_KEY" |
        curl --config - --silent --show-error --fail-with-body ${ES_CA:+--cacert "$ES_CA"} --request PUT \
            --header 'Content-Type: application/json' --data-binary "@$2" "${ES%/}/$1"
    echo "  $1"
}

put _ilm/policy/mqward-audit ilm-policy.json
put _ingest/pipeline/logs-mqward.audit@default-pipeline ingest-pipeline.json
put _component_template/logs-mqward.audit@mappings mappings.json
put _component_template/logs-mqward.audit@settings settings.json
put _index_template/logs-mqward.audit index-template.json
