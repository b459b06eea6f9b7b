#!/usr/bin/env bash
# cloudrun-emulator by itself: Run v2, Logging and metadata over curl, tasks as real containers.
. "$(dirname "$0")/lib.sh"
P=projects/p1/locations/us-central1
EMU_STATE=$T/emulator
export MODE=reverse ENGINE=emulator # lib.sh reads them

# ---- a registry with one image, and the emulator ----------------------------------------------------

registry_start() {
	cat >"$T/registry.yml" <<-END
		version: 0.1
		log: {level: error}
		storage: {filesystem: {rootdirectory: $T/registry}}
		http: {addr: 127.0.0.1:0}
	END
	SOCKERLESS_FUNC_MARK=$T docker-registry serve "$T/registry.yml" >"$T/registry.log" 2>&1 &
	registry_pid=$!
	local deadline=$((SECONDS + 10))
	until REG=127.0.0.1:$(listen_port $registry_pid) && [ "$REG" != 127.0.0.1: ]; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.05
	done
}
listen_port() { # pid: the TCP port it listens on
	ss -Hltnp | sed -n "s/.*127\.0\.0\.1:\([0-9]*\) .*pid=$1,.*/\1/p" | head -n 1
}

image_push() { # name [umoci config options]
	local name=$1 root=$T/img-$1 layout=$T/oci-$1
	shift
	mkdir -p "$root"/{bin,etc,tmp,proc,dev,sys,opt/work}
	cp /bin/busybox "$root/bin/busybox"
	/bin/busybox --list | grep -vx busybox | xargs -I{} ln -sf busybox "$root/bin/{}"
	printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1234:1235:app:/:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\napp:x:1235:\nextra:x:2000:app\n' >"$root/etc/group"
	tar -C "$root" --owner=0 --group=0 -cf "$root.tar" .
	umoci init --layout "$layout" && umoci new --image "$layout:latest"
	umoci raw add-layer --image "$layout:latest" "$root.tar"
	umoci config --image "$layout:latest" --os linux --architecture amd64 --config.env PATH=/bin "$@"
	skopeo copy -q --dest-tls-verify=false "oci:$layout:latest" "docker://$REG/$name:latest"
}

emulator_start() { # [options]
	: >"$T/ready"
	SOCKERLESS_FUNC_MARK=$T "$BUILD/bin/cloudrun-emulator" --state-dir "$EMU_STATE" "$@" \
		>"$T/ready" 2>>"$T/engine.log" </dev/null &
	emu_pid=$!
	local deadline=$((SECONDS + 10))
	until [ -s "$T/ready" ]; do
		[ $SECONDS -lt $deadline ] || return 1
		kill -0 $emu_pid || return 1
		sleep 0.02
	done
	U=$(jq -re .url "$T/ready")
	HOST_ADDRESS=$(jq -re .host_address "$T/ready")
}
emulator_stop() {
	kill -TERM "$emu_pid"
	wait "$emu_pid"
}

# ---- requests ---------------------------------------------------------------------------------------

api() { # METHOD path [body]: prints the answer, fails above 399
	curl -sS -m 60 --fail-with-body -X "$1" "$U$2" ${3+-d "$3"}
}
refused() { # http-status rpc-status message-part METHOD path [body]
	local want=$1 name=$2 part=$3 out
	shift 3
	out=$(curl -sS -m 20 -X "$1" -w '\n%{http_code}' "$U$2" ${3+-d "$3"})
	eq "$want" "${out##*$'\n'}" status
	eq "$want $name" "$(jq -r '"\(.error.code) \(.error.status)"' <<<"${out%$'\n'*}")"
	has "$(jq -r .error.message <<<"${out%$'\n'*}")" "$part"
}
container() { # shell-script [jq update]: a Container
	jq -cn --arg i "$REG/bb" --arg s "$1" '{image:$i, command:["sh","-c",$s]} | '"${2:-.}"
}
one_job() { # container-json [jq update of the TaskTemplate]
	jq -cn --argjson c "$1" '{template:{template:({containers:[$c], maxRetries:0} | '"${2:-.}"')}}'
}
create() { api POST "/v2/$P/jobs?jobId=$1" "$2" >/dev/null; }
run_job() { # job [RunJobRequest]: prints the execution's short name
	api POST "/v2/$P/jobs/$1:run" "${2:-{\}}" | tee "$T/run.json" | jq -re '.metadata.name' | sed 's|.*/||'
}
wait_done() { # prints the finished operation of the last run_job
	api POST "/v2/$(jq -re .name "$T/run.json"):wait" '{"timeout":"50s"}' | tee "$T/done.json"
	jq -e .done "$T/done.json" >/dev/null
}
run_to_end() { # job [RunJobRequest]: sets EXE
	EXE=$(run_job "$@")
	wait_done >/dev/null
}
task0() { api GET "/v2/$P/jobs/-/executions/$1/tasks" | jq -ce ".tasks[0]$2"; }
entries() { # filter [more members]
	jq -cn --arg f "$1" '{resourceNames:["projects/p1"], filter:$f, pageSize:1000}' |
		jq -c "${2:-.}" | curl -sS -m 20 --fail-with-body -d @- "$U/v2/entries:list"
}
stream_of() { # execution stdout|stderr: all pages, of which some may be empty
	local page token=''
	while :; do
		page=$(entries "labels.\"run.googleapis.com/execution_name\"=\"$1\" AND logName=\"projects/p1/logs/run.googleapis.com%2F$2\"" ".pageToken=\"$token\"")
		jq -r '.entries[]?.textPayload' <<<"$page"
		token=$(jq -r '.nextPageToken // ""' <<<"$page")
		[ -n "$token" ] || break
	done
}
started() { api GET "/v2/$P/jobs/-/executions/$1/tasks" | jq -e '.tasks[0].startTime' >/dev/null; }
prints() { stream_of "$1" stdout | grep -qx -- "$2"; }
knobs() { api POST /emulator/v1/knobs "$1" >/dev/null; }

registry_start || must false # no registry
must image_push bb --config.cmd sh --config.env FROM_IMAGE=1
must image_push user --config.entrypoint /bin/sh --config.entrypoint -c --config.cmd 'id; pwd' \
	--config.user app --config.workingdir /opt/work
emulator_start --secret "key=$T/registry.yml" || must cat "$T/engine.log" /nonexistent

# ---- jobs -------------------------------------------------------------------------------------------

job_life() {
	local j
	create life "$(one_job "$(container true)" | jq -c '.labels={a:"b"} | .annotations={"x/y":"Z"}')"
	j=$(api GET "/v2/$P/jobs/life")
	eq "$P/jobs/life b Z 1 600s 0" "$(jq -r '[.name, .labels.a, .annotations["x/y"], .template.taskCount,
		.template.template.timeout, .template.template.maxRetries] | join(" ")' <<<"$j")"
	eq null "$(jq -c .executionCount <<<"$j")" 'zero counts are omitted'
	refused 409 ALREADY_EXISTS life POST "/v2/$P/jobs?jobId=life" "$(one_job "$(container true)")"
	api PATCH "/v2/$P/jobs/life" "$(one_job "$(container 'echo 2')")" | jq -e '.done and .response.generation=="2"'
	eq null "$(api GET "/v2/$P/jobs/life" | jq -c .labels)" 'patch replaces the whole job'
	eq type.googleapis.com/google.cloud.run.v2.Job \
		"$(api DELETE "/v2/$P/jobs/life" | jq -r '.response["@type"]')"
	refused 404 NOT_FOUND life GET "/v2/$P/jobs/life"
	refused 404 NOT_FOUND life PATCH "/v2/$P/jobs/life" "$(one_job "$(container true)")"
}
t "a job is created, read, replaced and deleted" job_life

job_refusals() {
	local c
	c=$(container true)
	refused 400 INVALID_ARGUMENT 'only lowercase' POST "/v2/$P/jobs?jobId=No_Way" "$(one_job "$c")"
	refused 400 INVALID_ARGUMENT 'job.name must be empty' POST "/v2/$P/jobs?jobId=x" "$(one_job "$c" | jq -c '.name="x"')"
	refused 400 INVALID_ARGUMENT "Unknown name \"colour\" at 'job.template.template.containers[0]'" \
		POST "/v2/$P/jobs?jobId=x" "$(one_job "$(jq -c '.colour=1' <<<"$c")")"
	refused 400 INVALID_ARGUMENT "Invalid value at 'job.launch_stage'" POST "/v2/$P/jobs?jobId=x" \
		"$(one_job "$c" | jq -c '.launchStage="PERHAPS"')"
	refused 400 INVALID_ARGUMENT "Invalid value at 'job.template.task_count' (TYPE_INT32)" \
		POST "/v2/$P/jobs?jobId=x" "$(one_job "$c" | jq -c '.template.taskCount="many"')"
	refused 400 INVALID_ARGUMENT 'must have startup probe' POST "/v2/$P/jobs?jobId=x" \
		"$(one_job "$c" '.containers=[.containers[0]+{name:"a",dependsOn:["b"]}, .containers[0]+{name:"b"}]')"
	refused 400 INVALID_ARGUMENT 'reserved namespace' POST "/v2/$P/jobs?jobId=x" \
		"$(one_job "$c" | jq -c '.annotations={"run.googleapis.com/x":"y"}')"
	refused 400 INVALID_ARGUMENT "Unknown name \"filter\"" GET "/v2/$P/jobs?filter=a"
	refused 400 INVALID_ARGUMENT "Unknown name \"updateMask\"" PATCH "/v2/$P/jobs/x?updateMask=a" '{}'
	refused 404 NOT_FOUND nowhere POST "/v2/$P/jobs/nowhere:run" '{}'
}
t "mistakes are refused in Google's words" job_refusals

validate_only() {
	api POST "/v2/$P/jobs?jobId=draft&validateOnly=true" "$(one_job "$(container true)")" | jq -e .done
	refused 404 NOT_FOUND draft GET "/v2/$P/jobs/draft"
}
t "validateOnly changes nothing" validate_only

job_pages() {
	local q=projects/pages/locations/r page token='' all='' i
	for i in 1 2 3 4 5; do
		api POST "/v2/$q/jobs?jobId=p$i" "$(one_job "$(container true)")" >/dev/null
	done
	while :; do
		page=$(api GET "/v2/$q/jobs?pageSize=2&pageToken=$token")
		all+=" $(jq -r '[.jobs[].name | sub(".*/";"")] | join(" ")' <<<"$page")"
		token=$(jq -r '.nextPageToken // ""' <<<"$page")
		[ -n "$token" ] || break
	done
	eq ' p5 p4 p3 p2 p1' "$all"
	refused 400 INVALID_ARGUMENT 'page token' GET "/v2/$P/jobs?pageToken=abcd"
	eq '{}' "$(api GET /v2/projects/none/locations/r/jobs)"
}
t "jobs are listed newest first, page by page" job_pages

# ---- running ----------------------------------------------------------------------------------------

runs() {
	create ok "$(one_job "$(container 'echo out; echo err >&2')")"
	run_to_end ok
	eq '"EXECUTION_SUCCEEDED"' "$(api GET "/v2/$P/jobs/ok" | jq -c .latestCreatedExecution.completionStatus)"
	eq 'Completed CONDITION_SUCCEEDED' "$(jq -r '.response.conditions[0] | .type+" "+.state' "$T/done.json")"
	eq '[1,null,null]' "$(jq -c '.response | [.succeededCount, .failedCount, .runningCount]' "$T/done.json")"
	eq '{"status":{}}' "$(task0 "$EXE" .lastAttemptResult)"
	eq out "$(stream_of "$EXE" stdout)"
	eq err "$(stream_of "$EXE" stderr)"
	eq 'Container called exit(0).' "$(stream_of "$EXE" varlog%2Fsystem)"
}
t "an execution runs a container and completes" runs

exit_code() {
	create fails "$(one_job "$(container 'exit 42')")"
	run_to_end fails
	eq '{"code":10,"exit":42,"signal":null}' \
		"$(task0 "$EXE" '.lastAttemptResult | {code:.status.code, exit:.exitCode, signal:.termSignal}')"
	has "$(jq -r .error.message "$T/done.json")" 'failed with exit code: 42 and message: The container exited with an error.'
	eq '1 NON_ZERO_EXIT_CODE' "$(jq -r '.metadata | "\(.failedCount) \(.conditions[0].executionReason)"' "$T/done.json")"
}
t "a failed task has its exit code" exit_code

not_done_early() {
	create slow "$(one_job "$(container 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done')")"
	EXE=$(run_job slow)
	eq 1 "$(jq -c .metadata.taskCount "$T/run.json")"
	until_true 5 prints "$EXE" up
	eq null "$(api GET "/v2/$(jq -r .name "$T/run.json")" | jq -c .done)" 'while it runs'
	eq 1 "$(api GET "/v2/$P/jobs/slow/executions/$EXE" | jq .runningCount)"
	kill -TERM "$(api GET /emulator/v1/tasks | jq -re ".tasks[] | select(.execution==\"$EXE\").containers[0].pid")"
	wait_done >/dev/null
}
t "the run operation is done when the execution completes, not before" not_done_early

environment() {
	create env "$(one_job "$(container 'env' '.env=[{name:"A",value:"b c"},{name:"S",valueSource:{secretKeyRef:{secret:"key",version:"latest"}}}]')")"
	run_to_end env '{"overrides":{"containerOverrides":[{"env":[{"name":"OVER","value":"1"}]}],"taskCount":1}}'
	local out
	out=$(stream_of "$EXE" stdout)
	for v in 'A=b c' FROM_IMAGE=1 OVER=1 PATH=/bin CLOUD_RUN_JOB=env "CLOUD_RUN_EXECUTION=$EXE" \
		CLOUD_RUN_TASK_INDEX=0 CLOUD_RUN_TASK_ATTEMPT=0 CLOUD_RUN_TASK_COUNT=1 'S=version: 0.1'; do
		grep -qxF "$v" <<<"$out" || fail "no $v in $out"
	done
}
t "the environment: image, job, secret, override and the platform's own" environment

image_defaults() {
	create user "$(one_job "{\"image\":\"$REG/user:latest\"}")"
	run_to_end user
	eq 'uid=1234(app) gid=1235(app) groups=2000(extra)
/opt/work' "$(stream_of "$EXE" stdout)"
	create args "$(one_job "{\"image\":\"$REG/user\",\"args\":[\"echo mine\"]}")"
	run_to_end args
	eq mine "$(stream_of "$EXE" stdout)"
	run_to_end args '{"overrides":{"containerOverrides":[{"args":["echo yours"]}]}}'
	eq yours "$(stream_of "$EXE" stdout)"
}
t "entrypoint, arguments, user and working directory of the image" image_defaults

isolation() {
	create iso "$(one_job "$(container 'echo $$; ls /proc | grep -c "^[0-9]"; hostname; echo x >/etc/new && cat /etc/new; grep CapEff /proc/self/status; echo b > /proc/sysrq-trigger || echo ro')")"
	run_to_end iso
	eq '1
3
localhost
x
CapEff:	00000000a80425fb
ro' "$(stream_of "$EXE" stdout)"
}
t "a container has its own processes and root, and few capabilities" isolation

cannot_start() {
	create noimage "$(one_job '{"image":"'"$REG"'/missing:1"}')"
	run_to_end noimage
	eq 'ContainerReady CONDITION_FAILED CONTAINER_MISSING' \
		"$(jq -r '.metadata.conditions[3] | [.type,.state,.reason] | join(" ")' "$T/done.json")"
	has "$(jq -r .error.message "$T/done.json")" missing
	create nocmd "$(one_job '{"image":"'"$REG"'/bb","command":["/no/such"]}')"
	run_to_end nocmd
	has "$(stream_of "$EXE" varlog%2Fsystem)" 'Application failed to start'
	create nodir "$(one_job "$(container pwd '.workingDir="/no/dir"')")"
	run_to_end nodir
	has "$(stream_of "$EXE" varlog%2Fsystem)" 'failed to find initial working directory'
	eq null "$(api GET "/v2/$P/jobs/-/executions/$EXE/tasks" | jq -c '.tasks[0].lastAttemptResult.exitCode')"
}
t "missing image, command and working directory fail the execution and say why" cannot_start

retries() {
	create again "$(one_job "$(container 'echo attempt $CLOUD_RUN_TASK_ATTEMPT; [ $CLOUD_RUN_TASK_ATTEMPT = 2 ]')" 'del(.maxRetries)')"
	eq 3 "$(api GET "/v2/$P/jobs/again" | jq .template.template.maxRetries)" default
	run_to_end again
	eq 'attempt 0
attempt 1
attempt 2' "$(stream_of "$EXE" stdout)"
	eq '1 1 2' "$(jq -r '.response | "\(.succeededCount) \(.retriedCount)"' "$T/done.json") $(task0 "$EXE" .retried)"
}
t "a failed task is tried again, three times unless told otherwise" retries

many_tasks() {
	create many "$(one_job "$(container 'echo task $CLOUD_RUN_TASK_INDEX of $CLOUD_RUN_TASK_COUNT')" | jq -c '.template += {taskCount:6, parallelism:3}')"
	run_to_end many
	eq 6 "$(jq .response.succeededCount "$T/done.json")"
	eq "$(for i in 0 1 2 3 4 5; do echo "task $i of 6"; done)" "$(stream_of "$EXE" stdout | sort)"
	eq 6 "$(api GET "/v2/$P/jobs/many/executions/-/tasks" | jq '.tasks | length')"
	eq "$EXE-task4" "$(api GET "/v2/$P/jobs/many/executions/$EXE/tasks/$EXE-task4" | jq -r '.name | sub(".*/";"")')"
}
t "several tasks with a limit of parallelism" many_tasks

start_token() {
	local op
	op=$(api POST "/v2/$P/jobs?jobId=tok" "$(one_job "$(container 'trap "exit 0" TERM; while :; do sleep 0.1; done')" | jq -c '.startExecutionToken="first"')" | jq -r .name)
	op=$(api POST "/v2/$op:wait" '{"timeout":"10s"}')
	eq 'true EXECUTION_RUNNING tok-first' "$(jq -r '"\(.done) \(.response.latestCreatedExecution | "\(.completionStatus) \(.name)")"' <<<"$op")"
	api PATCH "/v2/$P/jobs/tok" "$(one_job "$(container true)" | jq -c '.startExecutionToken="first"')" >/dev/null
	eq 1 "$(api GET "/v2/$P/jobs/tok" | jq .executionCount)" 'the same token starts nothing'
	api DELETE "/v2/$P/jobs/tok" >/dev/null
	refused 404 NOT_FOUND tok-first GET "/v2/$P/jobs/tok/executions/tok-first"
}
t "startExecutionToken creates and starts in one call" start_token

# ---- ending -----------------------------------------------------------------------------------------

cancel() {
	create trap "$(one_job "$(container 'trap "echo bye; exit 9" TERM; echo up; while :; do sleep 0.1; done')")"
	EXE=$(run_job trap)
	until_true 5 prints "$EXE" up
	api POST "/v2/$P/jobs/trap/executions/$EXE:cancel" '{}' >/dev/null
	wait_done >/dev/null
	eq 'up
bye' "$(stream_of "$EXE" stdout)"
	eq 'CANCELLED 1 9' "$(api GET "/v2/$P/jobs/trap/executions/$EXE" |
		jq -r '"\(.conditions[0].executionReason) \(.cancelledCount)"') $(task0 "$EXE" .lastAttemptResult.exitCode)"
	eq EXECUTION_CANCELLED "$(api GET "/v2/$P/jobs/trap" | jq -r .latestCreatedExecution.completionStatus)"
	refused 400 FAILED_PRECONDITION completed POST "/v2/$P/jobs/trap/executions/$EXE:cancel" '{}'
}
t "cancel delivers SIGTERM and keeps the exit code" cancel

timeout_kills() {
	create deaf "$(one_job "$(container 'trap "" TERM; echo up; while :; do sleep 1; done')" '.timeout="1s"')"
	EXE=$(run_job deaf)
	wait_done >/dev/null
	eq '4 9 null' "$(task0 "$EXE" '.lastAttemptResult' | jq -r '"\(.status.code) \(.termSignal) \(.exitCode)"')"
	has "$(stream_of "$EXE" varlog%2Fsystem)" 'maximum timeout of 1 seconds'
	local ran
	ran=$(task0 "$EXE" '' | jq '[.completionTime, .startTime] | map(sub("\\.[0-9]+";"") | fromdate) | .[0]-.[1]')
	[ "$ran" -ge 10 ] && [ "$ran" -le 30 ] || fail "ran $ran s, expected 1 and 10 of grace"
}
t "a timeout sends SIGTERM, and SIGKILL 10 seconds later" timeout_kills

delete_running() {
	create doomed "$(one_job "$(container 'echo up; trap "exit 0" TERM; while :; do sleep 0.1; done')")"
	EXE=$(run_job doomed)
	until_true 5 prints "$EXE" up
	api DELETE "/v2/$P/jobs/doomed" >/dev/null
	wait_done >/dev/null
	until_true 5 no_task "$EXE"
}
no_task() { ! api GET /emulator/v1/tasks | grep -q "$1"; }
t "deleting a job ends its running execution" delete_running

# ---- several containers -----------------------------------------------------------------------------

sidecar_job() {
	jq -cn --arg i "$REG/bb" --arg main "$1" --arg side "$2" '{template:{template:{maxRetries:0,
		volumes:[{name:"shared", emptyDir:{medium:"MEMORY", sizeLimit:"64Mi"}}],
		containers:[{name:"main", image:$i, command:["sh","-c",$main], dependsOn:["side"],
				volumeMounts:[{name:"shared", mountPath:"/shared"}]},
			{name:"side", image:$i, command:["sh","-c",$side],
				startupProbe:{tcpSocket:{port:9000}, periodSeconds:1, failureThreshold:5},
				volumeMounts:[{name:"shared", mountPath:"/shared"}]}]}}}'
}
sidecar() {
	create side "$(sidecar_job '/shared/busybox echo ran; stat -c "%a %U" /shared; ls /proc | grep -c "^[0-9]"; nc side 9000 </dev/null' \
		'cp /bin/busybox /shared/new; sleep 0.3; mv /shared/new /shared/busybox; trap "echo side ends; exit 0" TERM; while :; do echo hello | nc -l -p 9000; done & wait')"
	run_to_end side
	jq -e .response "$T/done.json" >/dev/null || fail "$(jq -c .error "$T/done.json")"
	local f="labels.\"run.googleapis.com/execution_name\"=\"$EXE\""
	eq 'ran
755 root
3
hello' "$(entries "$f AND labels.container_name=\"main\" AND logName:stdout" | jq -r '.entries[].textPayload')"
	eq 'side ends' "$(entries "$f AND labels.container_name=side AND logName:\"stdout\"" | jq -r '.entries[].textPayload')"
	eq 2 "$(entries "$f AND textPayload=\"Container called exit(0).\"" | jq '.entries | length')"
}
t "dependsOn, startup probe, shared executable volume, loopback; the main container's end is the task's" sidecar

probe_fails() {
	create noprobe "$(sidecar_job 'echo never' 'trap "exit 0" TERM; while :; do sleep 0.1; done' | jq -c '.template.template.containers[1].startupProbe.failureThreshold=1')"
	EXE=$(run_job noprobe)
	within 5 wait_done >/dev/null
	has "$(jq -r .error.message "$T/done.json")" 'startup probe of container "side" failed'
	eq '' "$(stream_of "$EXE" stdout)"
}
t "a startup probe that never passes fails the task" probe_fails

# ---- network ----------------------------------------------------------------------------------------

reaches_host() {
	"$PYTHON" -c 'import socket, sys
s = socket.create_server((sys.argv[1], 0))
print(s.getsockname()[1], flush=True)
c = s.accept()[0]
c.sendall(b"from the host")
print(c.makefile().read(), end="")' "$HOST_ADDRESS" >"$T/nc" &
	local nc=$! port
	until_true 5 test -s "$T/nc"
	port=$(head -n 1 "$T/nc")
	create net "$(one_job "$(container "echo from the task | nc $HOST_ADDRESS $port; echo; ip -4 addr show dev eth0 | grep -o '169[0-9.]*'")")"
	run_to_end net
	wait $nc
	has "$(stream_of "$EXE" stdout)" 'from the host'
	eq 'from the task' "$(tail -n +2 "$T/nc")"
}
t "a task reaches what listens on host_address" reaches_host

metadata() {
	local m='wget -q -O - --header "Metadata-Flavor: Google" http://metadata.google.internal/computeMetadata/v1'
	create meta "$(one_job "$(container "$m/project/project-id; echo; $m/instance/region; echo; $m/instance/service-accounts/default/token; echo; $m/instance/id; echo; wget -q -O - http://169.254.169.254/computeMetadata/v1/project/project-id || echo refused")")"
	run_to_end meta
	local out
	out=$(stream_of "$EXE" stdout)
	eq p1 "$(sed -n 1p <<<"$out")"
	has "$(sed -n 2p <<<"$out")" /regions/us-central1
	eq Bearer "$(entries "labels.\"run.googleapis.com/execution_name\"=\"$EXE\" AND jsonPayload.token_type=Bearer" | jq -r '.entries[0].jsonPayload.token_type')"
	eq 65 "$(sed -n 4p <<<"$out" | wc -c)" 'instance id'
	eq refused "$(tail -n 1 <<<"$out")" 'without the header'
	eq 'aud me' "$(curl -sS -H 'Metadata-Flavor: Google' "$U/computeMetadata/v1/instance/service-accounts/default/identity?audience=me" |
		cut -d. -f2 | tr _- /+ | base64 -di 2>/dev/null | jq -r '"aud \(.aud)"')"
}
t "the metadata server, inside a task and outside" metadata

test_endpoint() {
	create see "$(one_job "$(container 'echo up; sleep 1000')")"
	EXE=$(run_job see)
	until_true 5 prints "$EXE" up
	local task pid
	task=$(api GET /emulator/v1/tasks | jq -ce ".tasks[] | select(.execution==\"$EXE\")")
	pid=$(jq -r '.containers[0].pid' <<<"$task")
	eq 'sleep 1000 ' "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
	has "$(nsenter --net="$(jq -r .netns <<<"$task")" ip -4 addr show dev eth0)" "$(jq -r .ip <<<"$task")"
	kill -KILL "$pid"
	wait_done >/dev/null
	eq 9 "$(task0 "$EXE" .lastAttemptResult.termSignal)"
	eq 'Container terminated on signal 9.' "$(stream_of "$EXE" varlog%2Fsystem)"
}
t "tests can see tasks, enter their network and kill their processes" test_endpoint

# ---- logs -------------------------------------------------------------------------------------------

structured() {
	create json "$(one_job "$(container 'cat <<END
{"severity":"WARNING","message":"look","a":{"b":1},"logging.googleapis.com/labels":{"k":"v"}}
{"severity":"ERROR","message":"only"}
{not json}

plain
END
printf "no newline"')")"
	run_to_end json
	local f="labels.\"run.googleapis.com/execution_name\"=\"$EXE\" AND logName:stdout"
	eq '["WARNING","look",1,"v"]
["ERROR","only"]
["{not json}"]
[""]
["plain"]
["no newline"]' "$(entries "$f" | jq -c '.entries[] | [.severity, .textPayload, .jsonPayload.message, .jsonPayload.a.b, .labels.k] | map(select(. != null))')"
	eq 2 "$(entries "$f AND severity>=WARNING" | jq '.entries | length')"
	eq look "$(entries "$f AND jsonPayload.a.b=1" | jq -r '.entries[0].jsonPayload.message')"
}
t "lines of JSON become jsonPayload, severity and labels are lifted" structured

long_lines() {
	create long "$(one_job "$(container 'head -c 600000 /dev/zero | tr "\0" x; echo; printf "\\377\\376 end\n"')")"
	run_to_end long
	eq '[262144,262144,75712,6]' "$(entries "labels.\"run.googleapis.com/execution_name\"=\"$EXE\" AND logName:stdout" |
		jq -c '[.entries[].textPayload | length]')"
}
t "a line longer than 256 KiB is cut into entries, none of it lost" long_lines

log_pages() {
	create pages "$(one_job "$(container 'seq 1 2500')")"
	run_to_end pages
	local f="labels.\"run.googleapis.com/execution_name\"=\"$EXE\" AND logName:stdout" page token='' n=0 order
	for order in asc desc; do
		: >"$T/lines" && token=
		while :; do
			page=$(entries "$f" ".pageSize=700 | .orderBy=\"timestamp $order\" | .pageToken=\"$token\"")
			jq -r '.entries[]?.textPayload' <<<"$page" >>"$T/lines"
			token=$(jq -r '.nextPageToken // ""' <<<"$page")
			n=$((n + 1))
			[ -n "$token" ] || break
		done
		[ $order = asc ] || { tac "$T/lines" >"$T/turned" && mv "$T/turned" "$T/lines"; }
		eq "$(seq 1 2500 | sha256sum)" "$(sha256sum <"$T/lines")" "$order"
	done
	[ $n -ge 8 ]
}
t "entries in pages, forwards and backwards, in the order of the lines" log_pages

filters() {
	local e="labels.\"run.googleapis.com/execution_name\"=\"f-1\""
	local w='{"resource":{"type":"cloud_run_job","labels":{"job_name":"f","location":"us-central1","project_id":"p1"}},
		"logName":"projects/p1/logs/run.googleapis.com%2Fstdout","labels":{"run.googleapis.com/execution_name":"f-1"}, "entries":[]}'
	api POST /v2/entries:write "$(jq -c '.entries=[{textPayload:"one"},{textPayload:"two",severity:"ERROR"},
		{textPayload:"three",logName:"projects/p1/logs/other"}]' <<<"$w")" | jq -e '. == {}'
	eq 'one two three' "$(entries "$e" | jq -r '[.entries[].textPayload] | join(" ")')"
	eq 'one two' "$(entries "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"f\" AND resource.labels.location=\"us-central1\" AND $e AND logName=(\"projects/p1/logs/run.googleapis.com%2Fstdout\" OR \"projects/p1/logs/run.googleapis.com%2Fstderr\") AND timestamp>=\"2020-01-01T00:00:00Z\"" | jq -r '[.entries[].textPayload] | join(" ")')"
	eq 'three' "$(entries "$e AND NOT logName:\"run.googleapis.com\"" | jq -r '[.entries[].textPayload] | join(" ")')"
	eq 'two' "$(entries "$e severity>WARNING" | jq -r '[.entries[].textPayload] | join(" ")')"
	eq '{}' "$(entries "$e AND timestamp>\"$(date -u +%FT%TZ -d '+1 hour')\"")"
	refused 400 INVALID_ARGUMENT 'Unparseable filter' POST /v2/entries:list '{"resourceNames":["projects/p1"],"filter":"a =~ \"x\""}'
	refused 400 INVALID_ARGUMENT 'resource name' POST /v2/entries:list '{"filter":""}'
	refused 400 INVALID_ARGUMENT page_token POST /v2/entries:list '{"resourceNames":["projects/p1"],"pageToken":"eHh4"}'
	eq '{}' "$(curl -sS "$U/v2/entries:list" -d '{"resourceNames":["projects/other"]}')"
}
t "filters, written entries, and refusals" filters

torrent() {
	create torrent "$(one_job "$(container 'yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 | head -c 100000000')")"
	EXE=$(run_job torrent)
	local worst=0 from us begun=${EPOCHREALTIME/./}
	while ! api GET "/v2/$(jq -r .name "$T/run.json")" | jq -e .done >/dev/null; do
		from=${EPOCHREALTIME/./}
		api GET /emulator/v1/stats >/dev/null
		us=$((${EPOCHREALTIME/./} - from))
		[ $us -le $worst ] || worst=$us
	done
	wait_done >/dev/null
	jq -e .response "$T/done.json" >/dev/null
	us=$((${EPOCHREALTIME/./} - begun))
	[ $worst -lt 1000000 ] || [ $worst -lt $((us / 4)) ] || fail "an answer took $worst us of $us us meanwhile"
	[ "$(api GET /emulator/v1/stats | jq .logs.received)" -ge 990000 ]
}
t "100 MB of output are taken without stalling the API" torrent

# ---- knobs ------------------------------------------------------------------------------------------

log_delay() {
	knobs '{"logDelayMs":600000}'
	run_to_end ok
	eq '' "$(stream_of "$EXE" stdout)"
	knobs '{"logDelayMs":0}'
	eq out "$(stream_of "$EXE" stdout)"
}
t "the log delay hides young entries" log_delay

start_latency() {
	knobs '{"startLatencyMs":700}'
	local from=$EPOCHREALTIME
	run_to_end ok
	[ $((${EPOCHREALTIME/./} - ${from/./})) -ge 700000 ]
	knobs '{"startLatencyMs":0}'
}
t "the start latency delays the start" start_latency

injected() {
	knobs '{"errors":[{"method":"GET","path":"/jobs/ok","status":503,"count":2},{"method":"*","path":"/cut","status":0,"count":1}]}'
	refused 503 UNAVAILABLE Injected GET "/v2/$P/jobs/ok"
	refused 503 UNAVAILABLE Injected GET "/v2/$P/jobs/ok"
	api GET "/v2/$P/jobs/ok" >/dev/null
	status 52 curl -s "$U/v2/$P/jobs/cut"
	knobs '{"quota":{"run":2}}'
	api GET "/v2/$P/jobs/ok" >/dev/null
	api GET "/v2/$P/jobs/ok" >/dev/null
	refused 429 RESOURCE_EXHAUSTED 'Quota exceeded' GET "/v2/$P/jobs/ok"
	knobs '{"quota":{"run":0}}'
	refused 400 INVALID_ARGUMENT knob POST /emulator/v1/knobs '{"nonsense":1}'
}
t "injected errors, cut connections and quotas" injected

fast_start() {
	local best=999999 ms i=0
	while [ $((i += 1)) -le 20 ] && [ "$best" -ge 60 ]; do # others may have the processor
		run_to_end ok
		ms=$(task0 "$EXE" '' | jq -r '[.createTime, .startTime] | map(capture("T..:(?<m>..):(?<s>..)(?<f>\\.[0-9]*)?Z") |
			(.m|tonumber)*60 + (.s|tonumber) + ((.f // ".0") | "0"+. | tonumber)) | (.[1]-.[0]) * 1000 | floor')
		[ "$ms" -ge "$best" ] || best=$ms
	done
	echo "best of $((i - 1)): $best ms"
	[ "$best" -lt 60 ]
}
t "a cached image starts within 60 ms" fast_start

# ---- the end ----------------------------------------------------------------------------------------

several_run() { # leaves two running containers behind
	create tail1 "$(one_job "$(container 'echo up; sleep 1000')")" 2>/dev/null || true
	EXE=$(run_job tail1)
	until_true 5 prints "$EXE" up
	EXE=$(run_job tail1)
	until_true 5 prints "$EXE" up
}
host_is_clean() {
	! ip -o link | grep -q "cr${HOST_ADDRESS:8:1}[-@:]" && ! ip -o addr | grep -q "$HOST_ADDRESS/" &&
		! left_of_emulator
}
left_of_emulator() { left_behind | grep -v docker-registry | grep -q .; }

second_emulator() {
	local first=$HOST_ADDRESS
	(
		EMU_STATE=$T/emulator # the same cache
		emulator_start --require-token sesame
		[ "$first" != "$HOST_ADDRESS" ] || fail 'the same host address'
		refused 401 UNAUTHENTICATED credentials GET "/v2/$P/jobs"
		curl -sSf -H 'Authorization: Bearer sesame' "$U/v2/$P/jobs" >/dev/null
		emulator_stop
	)
}
t "a second emulator shares the cache and takes another address; --require-token" second_emulator

t "containers run until the end" several_run
emulator_stop
stopped=$?
ends_cleanly() {
	eq 0 $stopped 'exit status'
	until_true 5 host_is_clean
}
t "SIGTERM ends everything and exits 0" ends_cleanly

crash() { # which process
	emulator_start
	several_run
	case $1 in
	guard) kill -KILL $emu_pid ;;
	emulator) kill -KILL "$(tr -d " " <"/proc/$emu_pid/task/$emu_pid/children")" ;;
	esac
	wait $emu_pid || true
	until_true 5 host_is_clean
}
t "killing the guard leaves no process, mount, link or address" crash guard
t "killing the emulator itself neither" crash emulator

parent_dies() {
	bash -c 'SOCKERLESS_FUNC_MARK=$0 "$1" --state-dir "$2" >"$3" 2>>"$0/engine.log" & sleep 1' \
		"$T" "$BUILD/bin/cloudrun-emulator" "$EMU_STATE" "$T/ready"
	HOST_ADDRESS=$(jq -re .host_address "$T/ready")
	until_true 5 host_is_clean
}
t "it ends with its parent" parent_dies

kill $registry_pid
wait $registry_pid 2>/dev/null
t "the log holds no complaint" no_complaints
finish
