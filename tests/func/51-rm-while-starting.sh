#!/usr/bin/env bash
# docker rm -f, kill and stop at every moment of a start that takes long: nobody crashes, nothing is left at Google.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox
must docker pull -q busybox
emulator=$(local_json emulator)
jobs=$emulator/v2/projects/sockerless-local/locations/us-central1/jobs

knobs() { curl -sSf -m 10 -d "$1" "$emulator/emulator/v1/knobs" >/dev/null; }
api() { curl -s -m 60 --unix-socket "$T/docker.sock" -H 'Content-Type: application/json' -o /dev/null -w '%{http_code}\n' -X "$1" "http://docker$2" ${3:+-d "$3"}; }
no_jobs() { [ "$(curl -sSf -m 10 "$jobs")" = '{}' ]; }

# COUNT starts at once; the n-th is met n * STEP_MS later.
race() { # COUNT STEP_MS METHOD PATH_OF_ID [further container options]
	local i pids=() starts removed
	for ((i = 0; i < $1; i++)); do
		api POST "/containers/create?name=r$i" "{\"Image\":\"busybox\",\"Cmd\":[\"sleep\",\"1000\"]${5:-}}" >"$T/race.create.$i"
	done
	for ((i = 0; i < $1; i++)); do
		(
			api POST "/containers/r$i/start" >"$T/race.start.$i" &
			sleep "$(printf '%d.%03d' $((i * $2 / 1000)) $((i * $2 % 1000)))"
			api "$3" "/containers/${4/ID/r$i}" >"$T/race.met.$i"
			wait
		) &
		pids+=($!)
	done
	wait "${pids[@]}"
	eq 201 "$(cat "$T"/race.create.* | sort -u)"
	starts=$(cat "$T"/race.start.* | sort | uniq -c | xargs)
	removed=$(cat "$T"/race.met.* | sort | uniq -c | xargs)
	echo "starts: $starts; $3 $4: $removed"
	rm -f "$T"/race.*
	ping_engine
	lacks "$starts $removed" 000
}
all_gone() {
	docker ps -aq | xargs -r docker rm -f >/dev/null
	eq '' "$(docker ps -aq)"
	until_true 20 no_jobs
}

removals() { # knobs
	knobs "$1"
	race 24 40 DELETE 'ID?force=1'
	all_gone
}
t "rm -f while the job is made" removals '{"operationLatencyMs": 500, "startLatencyMs": 0}'
t "rm -f while the execution starts" removals '{"operationLatencyMs": 0, "startLatencyMs": 700}'
t "rm -f when jobs cannot be found yet" removals '{"operationLatencyMs": 0, "startLatencyMs": 100, "notFoundMs": 500}'

unknown() {
	local i
	for i in {1..20}; do
		eq 404 "$(curl -s -m 10 --unix-socket "$T/docker.sock" -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -X DELETE "http://d/v1.41/containers/nosuch?force=1&v=1&link=0")"
	done
}
t "rm of one that is not there" unknown

# As in dockerd, which lets it wait for the start and then refuses.
unforced() { # knobs
	knobs "$1"
	local text
	text=$(race 12 60 DELETE 'ID?v=1')
	eq "$(sed -n 's/^starts:.* \([0-9]*\) 204[^;]*;.*/\1/p' <<<"$text")" "$(sed -n 's/.*;.* \([0-9]*\) 409$/\1/p' <<<"$text")" "$text"
	all_gone
}
t "rm while the job is made" unforced '{"operationLatencyMs": 500, "startLatencyMs": 0}'
t "rm while the execution starts" unforced '{"operationLatencyMs": 0, "startLatencyMs": 700}'
t "rm while the agent is on its way" unforced '{"operationLatencyMs": 0, "startLatencyMs": 0}'

slow_answers() {
	knobs '{"operationLatencyMs": 0, "startLatencyMs": 0, "notFoundMs": 0, "errors": [{"method": "POST", "path": "jobs", "stallMs": 400, "count": 40}]}'
	race 20 40 DELETE 'ID?force=1'
	knobs '{"errors": []}'
	all_gone
}
t "rm -f while Google has not answered" slow_answers

with_files() { # they are delivered before main begins
	knobs '{"operationLatencyMs": 0, "startLatencyMs": 300}'
	local i
	echo content >"$T/tmp/file"
	for i in 0 1 2 3 4 5 6 7 8 9; do
		docker create --name "f$i" busybox sleep 1000 >/dev/null
		docker cp "$T/tmp/file" "f$i:/file"
	done
	for i in 0 1 2 3 4 5 6 7 8 9; do
		(
			api POST "/containers/f$i/start" &
			sleep "0.$((i * 6 / 10))$((i * 6 % 10))"
			api DELETE "/containers/f$i?force=1"
			wait
		) >/dev/null &
	done
	for i in 0 1 2 3 4 5 6 7 8 9; do wait -n; done
	all_gone
}
t "rm -f while files are brought" with_files

signals() { # METHOD PATH
	knobs '{"operationLatencyMs": 100, "startLatencyMs": 300}'
	race 16 50 POST "$1"
	all_gone
}
t "kill while it starts" signals 'ID/kill'
t "stop while it starts" signals 'ID/stop?t=0'
t "restart while it starts" signals 'ID/restart?t=0'

restarting() {
	knobs '{"operationLatencyMs": 0, "startLatencyMs": 200}'
	race 12 50 DELETE 'ID?force=1' ',"HostConfig":{"RestartPolicy":{"Name":"always"}}'
	all_gone
}
t "rm -f of one with a restart policy" restarting

auto_removed() {
	race 12 50 POST 'ID/kill' ',"HostConfig":{"AutoRemove":true}'
	all_gone
}
t "kill of one with --rm" auto_removed

finish
