#!/usr/bin/env bash
# A gate with curl alone: gate.sh SERVER MODEL [BATCH]. Prints the summary (JSON, under 20 kB), writes junit.xml, and
# exits with 22 where the report fails FAIL_ON (default error), as curl does. Retries until there is a verdict.
# GRADIENT_HEALTH_API_KEY is sent where it is set, as a configuration on a pipe: arguments can be read by everybody.
set -uo pipefail
server=${1:?SERVER} model=${2:?MODEL} batch=${3:-}
headers=$(mktemp)
configuration() { printf '%s' "${GRADIENT_HEALTH_API_KEY:+header = \"Authorization: Bearer $GRADIENT_HEALTH_API_KEY\"}"; }
trap 'rm -f "$headers"' EXIT
curl --config <(configuration) --silent --show-error --fail-with-body --compressed \
  --retry 100 --retry-connrefused --retry-max-time 900 \
  --dump-header "$headers" --form "model=@$model" ${batch:+--form "batch=@$batch"} --form "options=${OPTIONS:-{\}}" \
  "$server/v1/analyses?view=summary&fail_on=${FAIL_ON:-error}"
code=$?
location=$(sed -n 's/^[Ll]ocation: *\(.*[^[:space:]]\)[[:space:]]*$/\1/p' "$headers" | tail -1)
if [ -n "$location" ]; then
  curl --config <(configuration) --silent --show-error --fail --compressed --output junit.xml \
    "$server$location/report.junit.xml" || exit
fi
exit "$code"
