#!/usr/bin/env bash
# A gate with curl alone: gate.sh SERVER MODEL [BATCH]. Prints the summary (JSON, under 20 kB), writes junit.xml and the
# page report.html. Exits as the command does: 0, or 1 where the report fails FAIL_ON (default error); with curl's code
# where there is no report: 22 refused (printed is the problem), 7 no service. Retries until there is a verdict.
# OPTIONS is JSON. GRADIENT_HEALTH_API_KEY is sent where it is set, as a configuration on a pipe: arguments can be read
# by everybody.
set -uo pipefail
server=${1:?SERVER} model=${2:?MODEL} batch=${3:-}
server=${server%/}
for file in "$model" ${batch:+"$batch"}; do
  if [ ! -r "$file" ]; then echo "gate.sh: cannot read $file" >&2; exit 26; fi
done
rm -f junit.xml report.html
headers=$(mktemp)
configuration() { printf '%s' "${GRADIENT_HEALTH_API_KEY:+header = \"Authorization: Bearer $GRADIENT_HEALTH_API_KEY\"}"; }
header() { grep -i "^$1:" "$headers" | tail -1 | tr -d '\r' | cut -d ' ' -f 2-; }
trap 'rm -f "$headers"' EXIT
curl --config <(configuration) --silent --show-error --fail-with-body --compressed \
  --retry 100 --retry-delay 2 --retry-connrefused --retry-max-time 900 \
  --dump-header "$headers" --form "model=@$model" ${batch:+--form "batch=@$batch"} --form "options=${OPTIONS:-{\}}" \
  "$server/v1/analyses?view=summary&fail_on=${FAIL_ON:-error}"
code=$?
echo
verdict=$(header Gradient-Health-Verdict)
if [ -z "$verdict" ]; then exit "$code"; fi
analysis=$server$(header Location)
for target in junit.xml report.html; do
  curl --config <(configuration) --silent --show-error --fail --compressed --output "$target" \
    "$analysis/report.${target#report.}" || exit
done
echo "gate.sh: $verdict, $analysis" >&2
if [ "$code" -eq 22 ]; then exit 1; fi
exit "$code"
