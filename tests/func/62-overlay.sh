#!/usr/bin/env bash
# Agent mode overlay: images run with one layer more, which has the agent, from the gateway's own repository.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
export SOCKERLESS_AGENT_MODE=overlay
engine_start busybox static nonroot
echoes() { eq hi "$(docker run --rm busybox echo hi)"; }
t "run in an image that has been given the agent" echoes
finish
