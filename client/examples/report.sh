#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# report.sh - a shell script that reports how it went: a backup, a cron job, a deployment.
# Metrics never get in its way: when the daemon is not there, it says so and goes on.
set -eu

# report METRIC...: one message; each argument is a metric in JSON.
report() {
	metrics=$1
	shift
	for metric; do metrics=$metrics,$metric; done
	dynamo-metricsctl send \
		"{\"namespace\":\"dynamo\",\"component\":\"backup\",\"metrics\":[$metrics]}" || :
}

work() {
	printf 'some data' >"$1/copy"
}

began=$(date +%s)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if work "$folder"; then result=ok; else result=failed; fi
bytes=$(wc -c <"$folder/copy")

report \
	'{"name":"backups_total","type":"counter","help":"Backups, by result.",
	  "labels":{"result":"'"$result"'"},"inc":1}' \
	'{"name":"backup_bytes","type":"gauge","help":"Size of the last backup.",
	  "merge":"last","set":'"$bytes"'}' \
	'{"name":"backup_seconds","type":"histogram","help":"Time that backups take.",
	  "buckets":[60,600,3600],"observe":'$(($(date +%s) - began))'}'
