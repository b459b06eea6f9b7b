#!/usr/bin/env bash
# What only Google's own Cloud Run can settle: each item tries one thing that the gateway relies on and that Google's
# documents leave open, in your project, and says what it saw. docs/live-checks.md says what each answer means.
#
#   deploy/live-check.sh --project P                  all items; a quarter of an hour, a few cents
#   deploy/live-check.sh --project P cancel-grace     one of them; --list names them
#
# Needs curl, jq and a token: $LIVE_CHECK_TOKEN, else gcloud's, else the metadata server's. What it makes is named
# sockerless-check-…, and is deleted at the end, after ^C too.
# shellcheck disable=SC2016  # what stands in single quotes is for the shell in a container, or for jq
set -u -o pipefail
umask 077
export LC_ALL=C

usage() {
	cat <<'END'
usage: deploy/live-check.sh --project ID [options] [item...]

  --project ID             whose Cloud Run is tried ($SOCKERLESS_GCR_PROJECT)
  --region REGION          where (us-central1, $SOCKERLESS_GCR_REGION)
  --image IMAGE            a busybox that Cloud Run can pull (busybox)
  --service-account EMAIL  what the jobs run as (the project's default, $SOCKERLESS_GCR_SERVICE_ACCOUNT)
  --bucket BUCKET          a bucket that account may write to; else one is made
  --secret NAME            a secret that account may read; else one is made
  --callback-url URL       the gateway's callback, as agents would reach it ($SOCKERLESS_CALLBACK_URL)
  --docker-host ADDRESS    a running gateway: containers are run through it with docker
  --repository HOST/PATH   an Artifact Registry repository, and
  --remote HOST/PATH       a remote repository for Docker Hub beside it, to try a mount between them
  --watch DURATION         how long to wait for a migration, such as 6h; without it that item is left out
  --endpoint URL           ask this instead of Google (an emulator)
  --list, --help

The exit status is 0 if no item failed.
END
}

# name|what has to hold. The order is docs/live-checks.md's.
items=(
	'access|the token may use Cloud Run and Cloud Logging'
	'texts|a job that is there is 409, one that is not is 404'
	'job-id|a job may have an id of 23 characters; how many more'
	'labels|values of 63 characters, 64 labels'
	'annotations|224 KiB in pieces of 16 KiB'
	'environment|32,000 bytes in a variable, 1 MiB in all'
	'arguments|1,000 of them'
	'containers|ten in a task; a sidecar with less than a CPU'
	'start-token|startExecutionToken starts the job and names the execution'
	'run-operation|the answer to RunJob names the execution at once'
	'delete-running|a job can be deleted while it runs'
	'executable-volume|a program on a volume in memory can be run'
	'shared-loopback|containers of a task meet on 127.0.0.1'
	'task-completion|the task ends with its first container, and has its exit code'
	'exit-lines|varlog/system tells how each container ended'
	'log-names|stdout and stderr have log names of their own, and the container is told'
	'log-lines|a JSON line comes back whole, a long one in pieces'
	'metadata|a container can ask the metadata server'
	'log-latency|a line can be read within 30 seconds'
	'cancel-grace|a cancelled task has SIGTERM and 10 seconds'
	'secret-mounts|a secret as a variable and as a file'
	'gcs-volume|a folder of a bucket, whose files can be executed'
	'log-tail|entries:tail over HTTP'
	'callback|agents reach the callback from a job'
	'service-websocket|a WebSocket comes through Cloud Run'"'"'s front end'
	'service-upgrade|Docker'"'"'s Upgrade: tcp does not'
	'registry-mount|layers can be mounted from a remote repository'
	'quotas|how often the project may ask'
	'migration|SIGTSTP and SIGCONT are seen'
	'gateway|docker run, exec, logs, stop and rm through a gateway'
)

project=${SOCKERLESS_GCR_PROJECT:-} region=${SOCKERLESS_GCR_REGION:-us-central1} image=busybox
account=${SOCKERLESS_GCR_SERVICE_ACCOUNT:-} bucket='' secret='' callback=${SOCKERLESS_CALLBACK_URL:-} docker_host=''
repository='' remote='' watch='' endpoint=''
wanted=()

die() {
	echo "live-check: $*" >&2
	exit 2
}

list_items() {
	local i
	for i in "${!items[@]}"; do printf '%2d  %-18s %s\n' $((i + 1)) "${items[i]%%|*}" "${items[i]#*|}"; done
}

read_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help | -h) usage && exit ;;
		--list) list_items && exit ;;
		--project | --region | --image | --service-account | --bucket | --secret | --callback-url | --docker-host | \
			--repository | --remote | --watch | --endpoint)
			[ $# -ge 2 ] || die "$1 needs a value"
			case $1 in
			--service-account) account=$2 ;;
			--callback-url) callback=$2 ;;
			--docker-host) docker_host=$2 ;;
			*) printf -v "${1#--}" %s "$2" ;;
			esac
			shift
			;;
		-*) die "unknown option $1; --help lists them" ;;
		*)
			printf '%s\n' "${items[@]%%|*}" | grep -qxF -- "$1" || die "no item $1; --list names them"
			wanted+=("$1")
			;;
		esac
		shift
	done
	[ -n "$project" ] || die "--project is missing"
	[ -z "$watch" ] || [[ $watch =~ ^[0-9]+[smh]$ ]] || die "--watch $watch: want a number with s, m or h behind it"
}

# ---- verdicts; each ends the item ---------------------------------------------------------------------

verdict() {
	printf '%s\t%s\n' "$1" "$(tr -s '\n\t ' ' ' <<<"$2" | tr -d '\000-\037' | cut -c1-600)" >"$tmp/verdict"
	exit 0
}
pass() { verdict pass "$*"; }
fail() {
	[ -z "${probing:-}" ] || echo "$*" >"$probing/failed"
	verdict FAIL "$*"
}
skip() { verdict skipped "$*"; }
note() { verdict noted "$*"; } # a measure; nothing depends on it

# ---- Google ---------------------------------------------------------------------------------------------

# api METHOD SERVICE PATH [BODY]: the HTTP status in $status, the answer in $tmp/answer.
api() {
	local url=${endpoint:-https://$2.googleapis.com}$3 body=()
	: >"$tmp/answer"
	[ -z "${4:-}" ] || body=(-H 'Content-Type: application/json' --data-binary @-)
	status=$(printf %s "${4:-}" | curl -sS -m 60 -A sockerless-live-check/1 -K "$tmp/auth" -X "$1" -o "$tmp/answer" \
		-w '%{http_code}' "${body[@]}" "$url" 2>"$tmp/curl") || status=000
}
get() { jq -r "$1 // empty" "$tmp/answer" 2>/dev/null; }
sentence() { # what it said, in a line
	local text
	text=$(get .error.message)
	echo "$status ${text:-$(head -c 200 "$tmp/curl" "$tmp/answer" 2>/dev/null | tail -n 1)}" | tr '\n' ' ' | cut -c1-300
}
ok() { [[ $status = 2* ]]; }

# What to delete, in reverse: written down before it is made.
made() { echo "$*" >>"$tmp/made"; }

wait_operation() { # of $tmp/answer; its error fails the item
	local name deadline=$((SECONDS + 180))
	name=$(get .name)
	until [ "$(get .done)" = true ] || [ $SECONDS -gt $deadline ]; do
		sleep "$pause"
		api GET run "/v2/$name"
		ok || fail "$1: its operation: $(sentence)"
	done
	[ -z "$(get .error.message)" ] || fail "$1: $(get .error.message)"
}

# spec CONTAINERS [VOLUMES [TIMEOUT]]: a job's body.
spec() {
	jq -cn --argjson containers "$1" --argjson volumes "${2:-[]}" --arg timeout "${3:-600s}" --arg account "$account" '
		{labels: {sockerless_live_check: "true"}, template: {taskCount: 1, template: ({maxRetries: 0, timeout: $timeout,
		executionEnvironment: "EXECUTION_ENVIRONMENT_GEN2", containers: $containers}
		+ (if $volumes == [] then {} else {volumes: $volumes} end)
		+ (if $account == "" then {} else {serviceAccount: $account} end))}}'
}
# container NAME SCRIPT [MORE]: one that runs a shell script.
container() {
	jq -cn --arg name "$1" --arg image "$image" --arg script "$2" --argjson more "${3:-{\}}" '
		{name: $name, image: $image, command: ["sh"], args: ["-c", $script],
		resources: {limits: {cpu: "1", memory: "512Mi"}}} + $more'
}

make_job() { # ID BODY
	made "job $1"
	api POST run "$jobs?jobId=$1" "$2"
	ok || fail "CreateJob: $(sentence)"
	wait_operation CreateJob
}
run_job() { # ID: $execution
	api POST run "$jobs/$1:run" '{}'
	ok || fail "RunJob: $(sentence)"
	execution=$(get .metadata.name)
	[ -n "$execution" ] || fail "RunJob's answer names no execution: $(head -c 300 "$tmp/answer")"
}
wait_started() { # SECONDS
	local deadline=$((SECONDS + $1))
	until api GET run "/v2/$execution" && [ "$(get .runningCount)" = 1 ]; do
		[ -z "$(get .completionTime)" ] || fail "it ended before it was seen to run: $(get '[.conditions[]?.message] | join(" ")')"
		[ $SECONDS -lt $deadline ] || fail "not running after $1 s: $(get '[.conditions[]?.message] | join(" ")')"
		sleep "$pause"
	done
}
wait_ended() { # SECONDS
	local deadline=$((SECONDS + $1))
	until api GET run "/v2/$execution" && [ -n "$(get .completionTime)" ]; do
		[ $SECONDS -lt $deadline ] || fail "the execution has not ended after $1 s: $(get '[.conditions[]?.message] | join(" ")')"
		sleep "$pause"
	done
}
wait_succeeded() { # SECONDS
	wait_ended "$1"
	[ -n "$(get .succeededCount)" ] || fail "the execution: $(get '[.conditions[]? | select(.state == "CONDITION_FAILED").message] | join(" ")')"
}

# What the execution has logged, as an array in FILE.
read_log() { # JOB FILE
	local token='' filter
	filter="resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"$1\""
	: >"$2.pages"
	while :; do
		api POST logging /v2/entries:list "$(jq -cn --arg p "projects/$project" --arg f "$filter" --arg t "$token" '
			{resourceNames: [$p], filter: $f, orderBy: "timestamp asc", pageSize: 1000}
			+ (if $t == "" then {} else {pageToken: $t} end)')"
		ok || fail "entries:list: $(sentence)"
		jq -c '.entries // []' "$tmp/answer" >>"$2.pages"
		token=$(get .nextPageToken)
		[ -n "$token" ] || break
	done
	jq -sc 'add | unique_by(.insertId) | sort_by(.timestamp)' "$2.pages" >"$2"
}
wait_log() { # JOB FILE TEXT: until an entry has it
	local deadline=$((SECONDS + 120))
	until read_log "$1" "$2" && jq -e --arg t "$3" 'any(.[]; (.textPayload // "") | contains($t))' "$2" >/dev/null; do
		[ $SECONDS -lt $deadline ] || fail "no line \"$3\" in Cloud Logging after 120 s; it has $(jq length "$2") entries"
		sleep "$pause"
	done
}
line() { jq -r --arg t "$2" '[.[].textPayload // empty | select(startswith($t))][0] // "" | ltrimstr($t)' "$1"; }

# Several items look at one job: it is run for the first of them.
probe() { # NAME
	local dir=$tmp/probe.$1
	[ ! -e "$dir/failed" ] || verdict FAIL "$(cat "$dir/failed")"
	[ ! -e "$dir/done" ] || return 0
	mkdir -p "$dir"
	probing=$dir
	"probe_$1" "$dir"
	probing=''
	touch "$dir/done"
}

google_only() { [ -z "$endpoint" ] || skip "$1"; }

# ---- what a request may say: nothing is run ----------------------------------------------------------------

check_access() {
	api GET run "$jobs?pageSize=1"
	ok || fail "jobs.list: $(sentence)"
	api POST logging /v2/entries:list "$(jq -cn --arg p "projects/$project" '{resourceNames: [$p], filter: "resource.type=\"cloud_run_job\"", pageSize: 1}')"
	ok || fail "entries:list: $(sentence)"
	pass "jobs of $project in $region can be listed, logs read"
}

check_texts() {
	local body texts
	body=$(spec "[$(container main true)]")
	api DELETE run "$jobs/$id-none"
	[ "$status $(get .error.status)" = "404 NOT_FOUND" ] || fail "deletion of a job that is not there: $(sentence)"
	texts="deleted twice: $(sentence)"
	api POST run "$jobs/$id-none:run" '{}'
	[ "$status $(get .error.status)" = "404 NOT_FOUND" ] || fail "run of a job that is not there: $(sentence)"
	make_job "$id-twice" "$body"
	api POST run "$jobs?jobId=$id-twice" "$body"
	[ "$status $(get .error.status)" = "409 ALREADY_EXISTS" ] || fail "the same job made again: $(sentence)"
	texts="$texts; made twice: $(sentence)"
	api PATCH run "$jobs/$id-patched?allowMissing=true" "$body"
	made "job $id-patched"
	ok || fail "a patch that makes the job: $(sentence)"
	pass "$texts; PatchJob with allowMissing makes a job"
}

# accepted JOB_ID BODY: would CreateJob take it?
accepted() {
	api POST run "$jobs?jobId=$1&validateOnly=true" "$2"
	ok
}

check_job_id() {
	local n longest=0 name
	for n in 23 49 50 63; do
		name=$(printf 'sockerless-%052d' 0 | cut -c1-"$n")
		accepted "$name" "$(spec "[$(container main true)]")" || break
		longest=$n
	done
	[ $longest -ge 23 ] || fail "23 characters: $(sentence)"
	[ $longest -lt 63 ] || pass "63 characters are taken"
	pass "$longest characters are taken, $n are not: $(sentence)"
}

check_labels() {
	local body
	body=$(spec "[$(container main true)]" | jq -c '.labels.long = "a" * 63')
	accepted "$id-v" "$body" || fail "a value of 63 characters: $(sentence)"
	accepted "$id-v" "$(jq -c '.labels.long += "a"' <<<"$body")" && fail "a value of 64 characters is taken: is validateOnly honoured?"
	accepted "$id-v" "$(jq -c '.labels += ([range(62)] | map({("l\(.)"): "x"}) | add)' <<<"$body")" || fail "64 labels: $(sentence)"
	pass "63 characters and 64 labels are taken"
}

annotated() { # PIECES BYTES
	spec "[$(container main true)]" | jq -c --argjson n "$1" --argjson size "$2" \
		'.annotations = ([range($n)] | map({("sockerless_record_\(.)"): ("x" * $size)}) | add)'
}
check_annotations() {
	accepted "$id-v" "$(annotated 14 16384)" || fail "14 pieces of 16 KiB: $(sentence)"
	accepted "$id-v" "$(annotated 15 17000)" || pass "224 KiB in 14 pieces are taken; 249 KiB in 15: $(sentence)"
	accepted "$id-v" "$(annotated 20 16384)" || pass "224 KiB in 14 pieces are taken; 320 KiB: $(sentence)"
	pass "224 KiB in 14 pieces are taken, 320 KiB too"
}

check_environment() {
	local body
	body=$(spec "[$(container main true)]")
	accepted "$id-v" "$(jq -c '.template.template.containers[0].env = [{name: "A", value: ("x" * 32000)}]' <<<"$body")" ||
		fail "a variable of 32,000 bytes: $(sentence)"
	accepted "$id-v" "$(jq -c '.template.template.containers[0].env = ([range(33)] | map({name: "A\(.)", value: ("x" * 32000)}))' <<<"$body")" ||
		fail "33 variables of 32,000 bytes: $(sentence)"
	pass "32,000 bytes in one variable, 1,056,000 in 33 are taken"
}

check_arguments() {
	accepted "$id-v" "$(spec "[$(container main true)]" | jq -c '.template.template.containers[0].args = [range(1000) | "a"]')" ||
		fail "1,000 arguments: $(sentence)"
	pass "1,000 are taken"
}

check_containers() {
	local fraction='a sidecar with half a CPU is taken'
	accepted "$id-v" "$(spec "[$(container main true), $(container side true '{"resources": {"limits": {"cpu": "500m", "memory": "512Mi"}}}')]")" ||
		fraction="a sidecar with half a CPU: $(sentence)"
	accepted "$id-v" "$(spec "[$(container c true)]" | jq -c '.template.template.containers = [range(10) as $i |
		.template.template.containers[0] | .name = "c\($i)" | .resources.limits = {cpu: "500m", memory: "512Mi"}]')" ||
		note "ten containers: $(sentence); $fraction"
	pass "ten containers are taken; $fraction"
}

# ---- starts and ends ----------------------------------------------------------------------------------------

check_start_token() {
	local job=$id-token
	made "job $job"
	api POST run "$jobs?jobId=$job" "$(spec "[$(container main true)]" | jq -c '.startExecutionToken = "first"')"
	ok || fail "CreateJob with startExecutionToken: $(sentence)"
	wait_operation CreateJob
	execution=${jobs#/v2/}/$job/executions/$job-first
	api GET run "$jobs/$job/executions"
	[ "$(get '.executions[0].name' | sed 's,.*/,,')" = "$job-first" ] || fail "its executions: $(get '[.executions[]?.name] | join(" ")')"
	wait_succeeded 240
	pass "$job-first began without RunJob: $(get '[.conditions[]? | select(.type == "Started").message] | join(" ")')"
}

check_run_operation() {
	local from=${EPOCHREALTIME/./} job=$id-op ms finished operation
	make_job "$job" "$(spec "[$(container main 'sleep 5')]")"
	from=${EPOCHREALTIME/./}
	run_job "$job"
	ms=$(((${EPOCHREALTIME/./} - from) / 1000))
	operation=$(get .name) finished=$(get .done)
	[ "$finished" != true ] || fail "the operation is done at once"
	wait_succeeded 240
	cp "$tmp/answer" "$tmp/ended"
	sleep "$pause"
	api GET run "/v2/$operation"
	[ "$(get .done)" = true ] || {
		sleep 10
		api GET run "/v2/$operation"
	}
	pass "after $ms ms; the operation is done when the execution is: $(get .done), $(jq -r '[.conditions[]? |
		select(.type == "Started" or .type == "ContainerReady").message] | join(" ")' "$tmp/ended")"
}

check_delete_running() {
	local job=$id-del deadline
	make_job "$job" "$(spec "[$(container main 'trap "exit 0" TERM; while :; do sleep 0.2; done')]")"
	run_job "$job"
	wait_started 240
	api DELETE run "$jobs/$job"
	ok || fail "DeleteJob: $(sentence)"
	deadline=$((SECONDS + 120))
	until api GET run "/v2/$execution" && { [ "$status" = 404 ] || [ -n "$(get .completionTime)" ]; }; do
		[ $SECONDS -lt $deadline ] || fail "the execution runs on, 120 s after its job was deleted"
		sleep "$pause"
	done
	pass "its execution ended: $(if [ "$status" = 404 ]; then sentence; else get '[.conditions[]?.message] | join(" ")'; fi)"
}

# ---- two containers: one brings a program, as the agent's sidecar does -----------------------------------------

probe_sidecar() { # DIR
	local job=$id-side main side
	side='cp /bin/busybox /probe/busybox && chmod 755 /probe/busybox && mkdir /probe/www &&
		echo hello-from-the-sidecar >/probe/www/hello && exec busybox httpd -f -p 9112 -h /probe/www'
	main='b=/probe/busybox
		echo "mount: $($b grep " /probe " /proc/mounts)"
		echo "mode: $($b stat -c "%a %u:%g" /probe)"
		echo "loopback: $($b wget -qO- http://127.0.0.1:9112/hello)"
		echo "processes: $($b ls -d /proc/[0-9]* | $b wc -l)"
		echo "metadata: $($b wget -qO- --header "Metadata-Flavor: Google" http://metadata.google.internal/computeMetadata/v1/instance/region)"
		echo "{\"a_number\": 1, \"message\": \"structured\", \"severity\": \"INFO\"}"
		$b head -c 300000 /dev/zero | $b tr "\0" z; echo
		echo "on stderr" >&2
		echo "last line"
		exit 7'
	make_job "$job" "$(spec "[$(container main "$main" '{"dependsOn": ["side"], "volumeMounts": [{"name": "probe", "mountPath": "/probe"}],
		"command": ["/probe/busybox", "sh"]}'), $(container side "$side" '{"volumeMounts": [{"name": "probe", "mountPath": "/probe"}],
		"startupProbe": {"tcpSocket": {"port": 9112}, "periodSeconds": 2, "timeoutSeconds": 1, "failureThreshold": 60}}')]" \
		'[{"name": "probe", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}}]')"
	run_job "$job"
	wait_ended 300
	cp "$tmp/answer" "$1/execution"
	api GET run "/v2/$execution/tasks"
	cp "$tmp/answer" "$1/tasks"
	jq -e '.tasks[0].lastAttemptResult | has("exitCode")' "$1/tasks" >/dev/null ||
		fail "the task: $(jq -r '.tasks[0] | "\(.lastAttemptResult // {}) \([.conditions[]?.message] | join(" "))"' "$1/tasks")"
	wait_log "$job" "$1/log" 'last line'
	local deadline=$((SECONDS + 60))
	until [ "$(jq '[.[] | select(.logName | endswith("varlog%2Fsystem"))] | length' "$1/log")" -gt 0 ] || [ $SECONDS -gt $deadline ]; do
		sleep "$pause"
		read_log "$job" "$1/log"
	done
}

check_executable_volume() {
	probe sidecar
	local mount
	mount=$(line "$tmp/probe.sidecar/log" 'mount: ')
	[ -n "$mount" ] || fail "main has not run: $(jq -rc '.tasks[0].lastAttemptResult' "$tmp/probe.sidecar/tasks")"
	pass "it ran from $mount, mode $(line "$tmp/probe.sidecar/log" 'mode: ')"
}
check_shared_loopback() {
	probe sidecar
	local said
	said=$(line "$tmp/probe.sidecar/log" 'loopback: ')
	[ "$said" = hello-from-the-sidecar ] || fail "127.0.0.1:9112 said \"$said\""
	pass "main was answered by the sidecar's port; it sees $(line "$tmp/probe.sidecar/log" 'processes: ') processes"
}
check_task_completion() {
	probe sidecar
	local code
	code=$(jq -r '.tasks[0].lastAttemptResult.exitCode // 0' "$tmp/probe.sidecar/tasks")
	[ "$code" = 7 ] || fail "main ended with 7, the task with $code"
	pass "exit code 7 while the sidecar ran on: $(jq -r '[.conditions[]? | select(.type == "Completed").message] | join(" ")' "$tmp/probe.sidecar/execution")"
}
check_exit_lines() {
	probe sidecar
	local lines
	lines=$(jq -r '[.[] | select(.logName | endswith("varlog%2Fsystem")) | "\(.labels.container_name // "-"): \(.textPayload)"] | join("; ")' "$tmp/probe.sidecar/log")
	[[ $lines = *"main: Container called exit(7)."* ]] || fail "varlog/system has: ${lines:-nothing}"
	pass "$lines"
}
check_log_names() {
	probe sidecar
	local out err
	out=$(jq -r '[.[] | select(.textPayload == "last line") | "\(.logName) \(.labels.container_name // "no container_name")"][0]' "$tmp/probe.sidecar/log")
	err=$(jq -r '[.[] | select(.textPayload == "on stderr") | "\(.logName) \(.labels.container_name // "no container_name")"][0]' "$tmp/probe.sidecar/log")
	[[ $out = *"/logs/run.googleapis.com%2Fstdout "* && $err = *"/logs/run.googleapis.com%2Fstderr "* ]] || fail "stdout: $out; stderr: $err"
	[[ $out = *" main" ]] || fail "no container_name tells main's output from the sidecar's: $out"
	pass "$out; $err"
}
check_log_lines() {
	probe sidecar
	local log=$tmp/probe.sidecar/log total pieces
	jq -e 'any(.[]; .jsonPayload.a_number == 1)' "$log" >/dev/null || fail "the line of JSON is no jsonPayload with its number"
	total=$(jq '[.[].textPayload // "" | select(test("^z+$")) | length] | add // 0' "$log")
	pieces=$(jq -c '[.[] | select((.textPayload // "") | test("^z+$")) | {length: (.textPayload | length), split}]' "$log")
	[ "$total" = 300000 ] || fail "of a line of 300,000 bytes $total came back: $pieces"
	pass "jsonPayload $(jq -c '[.[] | select(.jsonPayload.a_number == 1).jsonPayload][0]' "$log"); 300,000 bytes as $pieces"
}
check_metadata() {
	probe sidecar
	local said
	said=$(line "$tmp/probe.sidecar/log" 'metadata: ')
	[[ $said = projects/*/regions/* ]] || fail "instance/region is \"$said\""
	pass "$said"
}

# ---- one that runs until it is cancelled ------------------------------------------------------------------------

probe_ticks() { # DIR
	local job=$id-ticks i
	make_job "$job" "$(spec "[$(container main 'trap "n=0; while :; do n=\$((n+1)); echo grace \$n; sleep 1; done" TERM
		n=0; while :; do n=$((n+1)); echo tick $n; sleep 1; done')]")"
	run_job "$job"
	wait_started 240
	wait_log "$job" "$1/log" 'tick '
	for i in 1 2 3 4 5; do
		# How old is the newest line we do not have yet, when we get it?
		sleep "$pause"
		jq -r '.[].insertId' "$1/log" | sort >"$1/seen"
		read_log "$job" "$1/log"
		jq -r --arg now "$EPOCHREALTIME" --rawfile seen "$1/seen" '($seen | split("\n")) as $known | [.[] |
			select(.insertId as $i | $known | index($i) | not) | ($now | tonumber) -
			((.timestamp | sub("\\.[0-9]+"; "") | fromdate) + ("0" + (.timestamp | capture("(?<f>\\.[0-9]+)").f // ".0") | tonumber))][]' \
			"$1/log" >>"$1/ages"
	done
	api POST run "/v2/$execution:cancel" '{}'
	ok || fail "executions.cancel: $(sentence)"
	wait_ended 120
	cp "$tmp/answer" "$1/execution"
	i=0
	while read_log "$job" "$1/log" && [ $i -lt 8 ]; do
		i=$((i + 1))
		sleep "$pause"
	done
}

check_log_latency() {
	probe ticks
	local worst
	worst=$(sort -n "$tmp/probe.ticks/ages" | tail -n 1)
	[ -n "$worst" ] || fail "no new line came within $((SECONDS)) s"
	[ "${worst%.*}" -le 30 ] || fail "a line was $worst s old when it could be read"
	pass "lines are at most ${worst%"${worst#*.??}"} s old when they can be read (by this machine's clock), of $(wc -l <"$tmp/probe.ticks/ages")"
}
check_cancel_grace() {
	probe ticks
	local n
	n=$(jq '[.[].textPayload // "" | select(startswith("grace "))] | length' "$tmp/probe.ticks/log")
	[ "$n" -ge 8 ] || fail "after executions.cancel main had $n s with SIGTERM handled"
	pass "$n s from SIGTERM to the end; $(jq -r '[.conditions[]? | select(.type == "Completed").message] | join(" ")' "$tmp/probe.ticks/execution")"
}

# ---- volumes and secrets ------------------------------------------------------------------------------------------

make_secret() {
	local number member
	secret=$id-secret
	made "secret $secret"
	api POST secretmanager "/v1/projects/$project/secrets?secretId=$secret" '{"replication": {"automatic": {}}}'
	ok || skip "no --secret, and none can be made: $(sentence)"
	number=$(get .name | cut -d/ -f2)
	api POST secretmanager "/v1/projects/$project/secrets/$secret:addVersion" \
		"$(jq -cn --arg v "$(printf %s "$1" | base64 -w0)" '{payload: {data: $v}}')"
	ok || fail "secrets.addVersion: $(sentence)"
	member=serviceAccount:${account:-$number-compute@developer.gserviceaccount.com}
	api POST secretmanager "/v1/projects/$project/secrets/$secret:setIamPolicy" "$(jq -cn --arg m "$member" \
		'{policy: {bindings: [{role: "roles/secretmanager.secretAccessor", members: [$m]}]}}')"
	ok || fail "secrets.setIamPolicy: $(sentence)"
	sleep 10 # until it counts
}

# Its value is compared inside the job, by digest: it is in no log.
check_secret_mounts() {
	local job=$id-secret value log=$tmp/secret.log
	[ -n "$secret" ] || {
		value=$id-$RANDOM
		make_secret "$value"
	}
	make_job "$job" "$(spec "[$(container main 'of() { sha256sum | cut -c1-64; }
		echo "variable: $(printf %s "$VALUE" | of)"; echo "file: $(cat /secret/file | of)"
		echo "mode: $(stat -L -c %a /secret/file)"; echo "mount: $(grep " /secret" /proc/mounts)"; echo "last line"' \
		"$(jq -cn --arg s "$secret" '{volumeMounts: [{name: "secret", mountPath: "/secret"}],
			env: [{name: "VALUE", valueSource: {secretKeyRef: {secret: $s, version: "latest"}}}]}')")]" \
		"$(jq -cn --arg s "$secret" '[{name: "secret", secret: {secret: $s, defaultMode: 365, items: [{path: "file", version: "latest"}]}}]')")"
	run_job "$job"
	wait_succeeded 240
	wait_log "$job" "$log" 'last line'
	[[ -n "$(line "$log" 'variable: ')" && "$(line "$log" 'variable: ')" = "$(line "$log" 'file: ')" ]] ||
		fail "variable and file differ: $(line "$log" 'variable: ') $(line "$log" 'file: ')"
	[ -z "${value:-}" ] || [ "$(line "$log" 'file: ')" = "$(printf %s "$value" | sha256sum | cut -c1-64)" ] || fail "the file has another value"
	[ "$(line "$log" 'mode: ')" = 555 ] || fail "mode 0555 was asked for, the file has 0$(line "$log" 'mode: ')"
	pass "both have it, mode 0555; $(line "$log" 'mount: ')"
}

check_gcs_volume() {
	local job=$id-gcs log=$tmp/gcs.log folder=$id
	if [ -z "$bucket" ]; then
		bucket=$project-$id
		made "bucket $bucket"
		api POST storage "/storage/v1/b?project=$project" "$(jq -cn --arg b "$bucket" --arg l "$region" '{name: $b, location: $l,
			iamConfiguration: {uniformBucketLevelAccess: {enabled: true}}, labels: {sockerless_live_check: "true"}}')"
		ok || skip "no --bucket, and none can be made: $(sentence)"
	fi
	made "objects $bucket $folder/"
	make_job "$job" "$(spec "[$(container main 'printf "#!/bin/sh\necho it runs\n" >/data/script; chmod 755 /data/script; sync
		echo "mode: $(stat -c %a /data/script)"; echo "script: $(/data/script 2>&1)"; cp /bin/busybox /data/busybox
		echo "binary: $(/data/busybox echo it runs 2>&1)"; rm /data/busybox; echo "mount: $(grep " /data " /proc/mounts)"; echo "last line"' \
		'{"volumeMounts": [{"name": "data", "mountPath": "/data"}]}')]" "$(jq -cn --arg b "$bucket" --arg f "$folder" '[{name: "data",
		gcs: {bucket: $b, mountOptions: ["only-dir=\($f)", "file-mode=777", "dir-mode=777"]}}]')")"
	run_job "$job"
	wait_succeeded 240
	wait_log "$job" "$log" 'last line'
	api GET storage "/storage/v1/b/$bucket/o?prefix=$folder/"
	get '.items[]?.name' | grep -qxF "$folder/script" || fail "the bucket has no $folder/script: $(get '[.items[]?.name] | join(" ")'); $(line "$log" 'mount: ')"
	[ "$(line "$log" 'script: ')" = 'it runs' ] || fail "a script there: $(line "$log" 'script: '); mode $(line "$log" 'mode: ')"
	[ "$(line "$log" 'binary: ')" = 'it runs' ] || fail "a program there: $(line "$log" 'binary: ')"
	pass "written, and executed; $(line "$log" 'mount: ')"
}

# ---- the network ----------------------------------------------------------------------------------------------------

check_log_tail() {
	google_only "an emulator has no entries:tail"
	api POST logging /v2/entries:tail "[$(jq -cn --arg p "projects/$project" '{resourceNames: [$p], bufferWindow: "1s"}')]"
	note "answered $(sentence)"
}

check_callback() {
	[ -n "$callback" ] || skip "no --callback-url"
	local job=$id-call url here log=$tmp/callback.log there
	url=${callback/#ws/http}
	[[ ${url#*://} = */* ]] || url=$url/internal/v1/agent/connect
	url="$url?id=$(printf %064d 0)"
	here=$(curl -sS -m 20 -o "$tmp/answer" -w '%{http_code}' --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
		-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$url" 2>"$tmp/curl") || here="nothing ($(head -c 200 "$tmp/curl"))"
	make_job "$job" "$(spec "[$(container main "timeout 30 wget -S -O- '$url' 2>&1 | head -n 20; echo last line")]")"
	run_job "$job"
	wait_succeeded 240
	wait_log "$job" "$log" 'last line'
	there=$(jq -r '[.[].textPayload // "" | capture("HTTP/1.1 (?<s>[0-9]{3})").s][0] // empty' "$log")
	[ -n "$there" ] || fail "from a job: $(jq -r '[.[].textPayload // empty] | join(" ")' "$log"); from here: $here"
	[[ $there = 4* && $there != 429 ]] || fail "the gateway refuses strangers with 4xx; a job is answered $there, we are answered $here"
	pass "a job is answered $there, this machine $here, as strangers are"
}

# A service that answers any upgrade and echoes: what does Google's front end let through?
probe_service() { # DIR
	local deadline name=$id-web
	made "service $name"
	api POST run "/v2/projects/$project/locations/$region/services?serviceId=$name" "$(jq -cn --arg image "$image" --arg account "$account" '
		{invokerIamDisabled: true, labels: {sockerless_live_check: "true"}, template: ({scaling: {maxInstanceCount: 1}, containers: [{image: $image,
		ports: [{containerPort: 8080}], resources: {limits: {cpu: "1", memory: "512Mi"}}, command: ["sh"], args: ["-c",
		"printf \"%s\\n\" \"#!/bin/sh\" \"while read -r l && [ \\\"\\${#l}\\\" -gt 1 ]; do case \\$l in [Uu]pgrade:*) u=\\${l#*: };; esac; done\" \"u=\\$(echo \\$u | tr -d \\\"\\\\r\\\")\" \"printf \\\"HTTP/1.1 101 Switching Protocols\\\\r\\\\nConnection: Upgrade\\\\r\\\\nUpgrade: %s\\\\r\\\\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\\\\r\\\\n\\\\r\\\\n\\\" \\\"\\$u\\\"\" \"exec cat\" >/tmp/answer; chmod +x /tmp/answer; exec nc -ll -p 8080 -e /tmp/answer"]}]}
		+ (if $account == "" then {} else {serviceAccount: $account} end))}')"
	ok || fail "CreateService: $(sentence)"
	wait_operation CreateService
	api GET run "/v2/projects/$project/locations/$region/services/$name"
	get .uri >"$1/uri"
	[ -s "$1/uri" ] || fail "the service has no address: $(get '[.conditions[]?.message] | join(" ")')"
	deadline=$((SECONDS + 60))
	until [ "$(upgrade websocket "$(cat "$1/uri")")" != 000 ] || [ $SECONDS -gt $deadline ]; do sleep 2; done
}
upgrade() { # TO URL: the status
	curl -s -m 10 -o "$tmp/upgraded" -w '%{http_code}' --http1.1 -H 'Connection: Upgrade' -H "Upgrade: $1" -H 'Sec-WebSocket-Version: 13' \
		-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$2"
}
check_service_websocket() {
	google_only "an emulator has no services"
	probe service
	local got
	got=$(upgrade websocket "$(cat "$tmp/probe.service/uri")")
	[ "$got" = 101 ] || fail "answered $got $(head -c 200 "$tmp/upgraded" 2>/dev/null)"
	pass "101"
}
check_service_upgrade() {
	google_only "an emulator has no services"
	probe service
	local got
	got=$(upgrade tcp "$(cat "$tmp/probe.service/uri")")
	[ "$got" != 101 ] || fail "101: Docker clients would come through, which docs/deploy.md denies"
	pass "answered $got, as docs/deploy.md says"
}

check_registry_mount() {
	[[ -n $repository && -n $remote ]] || skip "no --repository and --remote"
	local host=${repository%%/*} path=${remote#*/} scheme=https accept digest location
	[[ $host = "${remote%%/*}" ]] || fail "$repository and $remote are on two hosts"
	[[ $host != 127.* && $host != localhost* ]] || scheme=http
	[[ $remote = *busybox ]] || path=$path/library/busybox
	accept='Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json'
	digest=latest
	for _ in 1 2; do # through an index
		curl -sS -m 60 -K "$tmp/auth" -H "$accept" -o "$tmp/answer" "$scheme://$host/v2/$path/manifests/$digest" 2>"$tmp/curl"
		digest=$(get '.manifests[]? | select(.platform.architecture == "amd64").digest' | head -n 1)
		[ -n "$digest" ] || break
	done
	digest=$(get '.layers[0].digest')
	[ -n "$digest" ] || fail "no manifest at $host/$path: $(head -c 300 "$tmp/answer" "$tmp/curl")"
	status=$(curl -sS -m 60 -K "$tmp/auth" -X POST -d '' -D "$tmp/headers" -o "$tmp/answer" -w '%{http_code}' \
		"$scheme://$host/v2/${repository#*/}/live-check/blobs/uploads/?mount=$digest&from=$path" 2>"$tmp/curl")
	[ "$status" != 202 ] || {
		location=$(tr -d '\r' <"$tmp/headers" | sed -n 's/^[Ll]ocation: //p')
		[[ $location != /* ]] || location=$scheme://$host$location
		[ -z "$location" ] || curl -sS -m 60 -K "$tmp/auth" -X DELETE -o /dev/null "$location" 2>/dev/null
		fail "202: not mounted; layers are copied, which works, and takes longer"
	}
	[ "$status" = 201 ] || fail "$(sentence)"
	pass "201: a layer of $path is in ${repository#*/} without a copy"
}

check_quotas() {
	google_only "an emulator has no quotas to ask for"
	api GET serviceusage "/v1beta1/projects/$project/services/run.googleapis.com/consumerQuotaMetrics?pageSize=200"
	ok || skip "Service Usage cannot be asked: $(sentence)"
	note "$(get '[.metrics[]? | .metric as $m | .consumerQuotaLimits[]? | select(.unit | test("/min")) |
		"\($m | sub(".*/"; "")) \(.quotaBuckets[0].effectiveLimit)\(.unit)"] | unique | join(", ")')"
}

check_migration() {
	[ -n "$watch" ] || skip "no --watch; a migration comes when Google wants one"
	local job=$id-move log=$tmp/move.log seconds=${watch%?} deadline
	case $watch in *m) seconds=$((seconds * 60)) ;; *h) seconds=$((seconds * 3600)) ;; esac
	make_job "$job" "$(spec "[$(container main 'trap "echo saw SIGTSTP" TSTP; trap "echo saw SIGCONT" CONT; while :; do sleep 1; done')]" '[]' "$((seconds + 300))s")"
	run_job "$job"
	wait_started 240
	deadline=$((SECONDS + seconds))
	until [ $SECONDS -gt $deadline ]; do
		sleep "$pause"
		read_log "$job" "$log"
		jq -e 'any(.[]; .textPayload == "saw SIGCONT")' "$log" >/dev/null &&
			pass "$(jq -r '[.[] | select((.textPayload // "") | startswith("saw ")) | "\(.textPayload) \(.timestamp)"] | join(", ")' "$log")"
		[ "$pause" = 2 ] && sleep 58
	done
	note "no migration in $watch"
}

check_gateway() {
	[ -n "$docker_host" ] || skip "no --docker-host"
	command -v docker >/dev/null || skip "no docker client here"
	local from=$SECONDS name=$id-gw said took
	d() { timeout -k 5 300 docker -H "$docker_host" "$@" </dev/null 2>"$tmp/docker"; }
	said=$(d run --rm "$image" echo through) || fail "docker run: $(tail -n 1 "$tmp/docker")"
	[ "$said" = through ] || fail "docker run printed \"$said\""
	took=$((SECONDS - from))
	made "container $name"
	d run -d --name "$name" "$image" sh -c 'trap "echo stopping; exit 9" TERM; echo began; while :; do sleep 0.2; done' >/dev/null || fail "docker run -d: $(tail -n 1 "$tmp/docker")"
	[ "$(d exec "$name" echo inside)" = inside ] || fail "docker exec: $(tail -n 1 "$tmp/docker")"
	d stop "$name" >/dev/null || fail "docker stop: $(tail -n 1 "$tmp/docker")"
	[ "$(d inspect -f '{{.State.ExitCode}}' "$name")" = 9 ] || fail "main ended with 9, inspect says $(d inspect -f '{{.State.ExitCode}}' "$name")"
	[ "$(d logs "$name" | tr '\n' ' ')" = 'began stopping ' ] || fail "docker logs: $(d logs "$name")"
	d rm "$name" >/dev/null || fail "docker rm: $(tail -n 1 "$tmp/docker")"
	pass "run --rm took $took s; exec, stop, inspect, logs and rm did what they say"
}

# ---- the end ------------------------------------------------------------------------------------------------------------

delete_job() { # its executions first, should that be what keeps it
	api DELETE run "$jobs/$1"
	if ! ok && [ "$status" != 404 ]; then
		api GET run "$jobs/$1/executions"
		for execution in $(get '.executions[]? | select(.completionTime == null).name'); do api POST run "/v2/$execution:cancel" '{}'; done
		sleep "$pause"
		api DELETE run "$jobs/$1"
	fi
	ok || [ "$status" = 404 ]
}
delete_objects() { # BUCKET PREFIX
	local name
	api GET storage "/storage/v1/b/$1/o?prefix=$2"
	for name in $(get '.items[]?.name | @uri'); do api DELETE storage "/storage/v1/b/$1/o/$name"; done
}
delete_thing() { # KIND NAME...
	case $1 in
	job) delete_job "$2" ;;
	service) api DELETE run "/v2/projects/$project/locations/$region/services/$2" ;;
	secret) api DELETE secretmanager "/v1/projects/$project/secrets/$2" ;;
	objects) delete_objects "$2" "$3" ;;
	bucket) delete_objects "$2" '' && api DELETE storage "/storage/v1/b/$2" ;;
	container) docker -H "$docker_host" rm -f "$2" >/dev/null 2>&1 && status=200 ;;
	esac
	ok || [ "$status" = 404 ]
}
clean_up() {
	trap '' INT TERM HUP
	if [ -n "$item_pid" ]; then # it finishes the request it is in, so that we know what there is
		kill -TERM "$item_pid" 2>/dev/null
		wait "$item_pid" 2>/dev/null
	fi
	local thing left=0
	if [ -s "$tmp/made" ]; then
		while read -r thing; do
			# shellcheck disable=SC2086  # words
			delete_thing $thing && continue
			left=$((left + 1))
			echo "live-check: left behind: $thing ($(sentence))" >&2
		done < <(tac "$tmp/made")
		echo "cleaned up: $(($(wc -l <"$tmp/made") - left)) of $(wc -l <"$tmp/made")"
	fi
	rm -rf "$tmp"
}

find_token() {
	local token=${LIVE_CHECK_TOKEN:-}
	[ -n "$token" ] || [ -n "$endpoint" ] || token=$(gcloud auth print-access-token 2>/dev/null) ||
		token=$(curl -sf -m 3 -H 'Metadata-Flavor: Google' \
			http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token | jq -r .access_token)
	[ -n "$token" ] || [ -n "$endpoint" ] || die "no token: set LIVE_CHECK_TOKEN, or log in with gcloud auth login"
	: >"$tmp/auth" # a file, so that no list of processes shows it
	[ -z "$token" ] || printf 'header = "Authorization: Bearer %s"\n' "$token" >"$tmp/auth"
	unset LIVE_CHECK_TOKEN
}

run_item() { # NUMBER NAME
	local what text
	rm -f "$tmp/verdict"
	(
		trap 'exit 143' TERM
		trap '' INT
		"check_${2//-/_}"
	) &
	item_pid=$!
	wait "$item_pid"
	item_pid=''
	IFS=$'\t' read -r what text <"$tmp/verdict" 2>/dev/null || what=FAIL text='the item ended without a verdict'
	printf '%2d %-18s %-8s %s\n' "$1" "$2" "$what" "$text"
	count[$what]=$((${count[$what]:-0} + 1))
}

read_arguments "$@"
for program in curl jq; do command -v $program >/dev/null || die "$program is missing"; done
tmp=$(mktemp -d)
item_pid=''
declare -A count
id=sockerless-check-$(tr -dc a-z0-9 </dev/urandom | head -c 6)
jobs=/v2/projects/$project/locations/$region/jobs
pause=2 # Cloud Logging may be asked once a second, by everybody in the project
[ -z "$endpoint" ] || pause=0.2
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
find_token
for i in "${!items[@]}"; do
	name=${items[i]%%|*}
	[ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " = *" $name "* ]] || continue
	run_item $((i + 1)) "$name"
done
printf 'live-check: %d passed, %d failed, %d noted, %d skipped\n' "${count[pass]:-0}" "${count[FAIL]:-0}" "${count[noted]:-0}" "${count[skipped]:-0}"
[ "${count[FAIL]:-0}" -eq 0 ]
