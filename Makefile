# sockerless-gateway: targets and knobs. `make help` prints this list.
#
#   make            build the four programs into build/bin
#   make deps       install what building, testing and running need (Debian 12, as root)
#   make check      unit tests, functional tests with the real docker client, fuzz corpora
#   make unit       unit tests only
#   make func       functional tests only (root: they run containers)
#   make contract   what the last functional tests asked of Google, against its published documents
#   make diff       the same requests to dockerd and to the gateway, compared (root)
#   make install    into DESTDIR and PREFIX (docs/deploy.md), systemd unit included
#   make package    what `make install` installs, as a Debian package
#   make demo       a real session: run, exec, logs, a tunnel cut in the middle of a transfer
#   make bench      ratios against a real dockerd and against the machine's own limits, in the same run
#   make soak       memory and descriptors over SOAK_MINUTES of reconnecting agents and short execs
#   make chaos      the programs cut, frozen, killed and starved under runs whose every byte is known (root)
#   make lint       style, who may include whom, cppcheck, clang-tidy, shellcheck
#   make fuzz       libFuzzer on every parser, FUZZ_SECONDS each
#   make man        docs/sockerless-gateway.8, from the table of settings
#   make clean      remove build/
#
# Knobs: SAN=address,undefined (or thread)   V=1 shows commands   O=build  WERROR=1
#        SPEC_DIR=<folder of the published interface documents>   FUZZ_SECONDS=60
#        PREFIX=/usr/local SYSCONFDIR=/etc DESTDIR=
#        BULK_MIB=256 (functional tests)   BENCH_SMOKE=1   SOAK_MINUTES=60   DOCKER=<client under test>
#        CHAOS_SHORT=1 SEED=<a former run's> (chaos)

O        ?= build
SAN      ?=
CC       ?= gcc
WERROR   ?= 1
OPT      ?= -O2
FUZZ_SECONDS ?= 60
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SECONDARY:
Q := $(if $(V),,@)
# A sanitizer build lives beside the plain one.
comma := ,
B := $(O)$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))

VERSION := 0.1.0
CPPFLAGS += -Iinclude -Iagent-proto -Igateway -I$(B)/gen -I/usr/share/include/llhttp \
	    -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DLLHTTP_STRICT_MODE=1
CFLAGS   += -std=gnu11 $(OPT) -g -Wall -Wextra -Wmissing-prototypes -Wshadow -Wvla \
	    -Wno-unused-parameter -Wno-format-zero-length $(if $(filter 1,$(WERROR)),-Werror) \
	    $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS  += $(if $(SAN),-fsanitize=$(SAN))

DAEMON_LIBS := -lwebsockets -luv -lcurl -larchive -lz -ljansson -lssl -lcrypto -lprotobuf-c -lsqlite3 -lpthread
EMU_LIBS    := -luv -lcurl -ljansson -lssl -lcrypto -lpthread
CTL_LIBS    := -luv -lcurl -ljansson -lssl -lcrypto -lpthread
# The last four are libarchive's: what it reads archives compressed with.
AGENT_LIBS  := -lprotobuf-c -luv_a -ljansson -larchive -lssl -lcrypto -lz -lbz2 -llzma -lzstd -ldl -lpthread

LLHTTP_SRC  := api http llhttp
BASE_SRC    := $(wildcard src/base/*.c)
NET_SRC     := $(wildcard src/net/*.c)
PROTO_SRC   := $(wildcard agent-proto/*.c)
AGENT_SRC   := $(wildcard src/agent/*.c)
EMU_SRC     := $(wildcard src/emulator/*.c)
CTL_SRC     := $(wildcard src/ctl/*.c)
GW_SRC      := $(wildcard gateway/*.c gateway/*/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
LLHTTP_OBJ := $(patsubst %,$(B)/obj/llhttp/%.o,$(LLHTTP_SRC))
BASE_OBJ   := $(call obj,$(BASE_SRC))
NET_OBJ    := $(call obj,$(NET_SRC)) $(LLHTTP_OBJ)
PROTO_OBJ  := $(call obj,$(PROTO_SRC)) $(B)/gen/tunnel.pb-c.o
# The agent has no HTTP client: libcurl stays out of the user's container.
AGENT_NET_OBJ := $(filter-out %/http_client.o,$(NET_OBJ))

PROGRAMS := $(addprefix $(B)/bin/,sockerless-gateway sockerless-agent cloudrun-emulator sockerlessctl)
AGENT_IMAGE := $(B)/share/agent-image/index.json
all: $(PROGRAMS) $(AGENT_IMAGE)

$(B)/bin/sockerless-gateway: $(call obj,$(GW_SRC)) $(PROTO_OBJ) $(NET_OBJ) $(BASE_OBJ)
	$(LINK) $(DAEMON_LIBS)
$(B)/bin/cloudrun-emulator: $(call obj,$(EMU_SRC)) $(NET_OBJ) $(BASE_OBJ)
	$(LINK) $(EMU_LIBS)
$(B)/bin/sockerlessctl: $(call obj,$(CTL_SRC)) $(NET_OBJ) $(BASE_OBJ)
	$(LINK) $(CTL_LIBS)
# Static: it runs in any image. A sanitizer build is dynamic, the runtimes cannot be static.
# glibc warns that getaddrinfo and dlopen want its shared parts; name look-up by files and DNS is built in.
$(B)/bin/sockerless-agent: $(call obj,$(AGENT_SRC)) $(PROTO_OBJ) $(AGENT_NET_OBJ) $(BASE_OBJ)
	$(if $(SAN),$(LINK) -lprotobuf-c -luv -ljansson -larchive -lssl -lcrypto -lpthread,\
	$(Q)mkdir -p $(@D); echo "  LD      $@"; $(CC) -static $(CFLAGS) $(LDFLAGS) -o $@.debug $^ $(AGENT_LIBS) 2>$@.ldlog || { cat $@.ldlog >&2; exit 1; }; strip -o $@ $@.debug)

# What runs in images is always the static agent, also beside sanitized programs.
STATIC_AGENT := $(O)/bin/sockerless-agent
ifneq ($(SAN),)
$(STATIC_AGENT): $(AGENT_SRC) $(PROTO_SRC) $(NET_SRC) $(BASE_SRC)
	$(Q)$(MAKE) SAN= $@
endif
$(AGENT_IMAGE): $(STATIC_AGENT) deploy/agent-image.sh
	$(Q)echo "  IMAGE   $(@D)"; deploy/agent-image.sh $(@D) $<

LINK = $(Q)mkdir -p $(@D); echo "  LD      $@"; $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(B)/obj/%.o: %.c $(B)/gen/tunnel.pb-c.h
	$(Q)mkdir -p $(@D); echo "  CC      $<"; $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -include include/base/banned.h -c -o $@ $<
$(B)/obj/llhttp/%.o: /usr/share/llhttp/%.c
	$(Q)mkdir -p $(@D); echo "  CC      $<"; $(CC) $(CPPFLAGS) $(OPT) -g $(if $(SAN),-fsanitize=$(SAN)) -w -c -o $@ $<
$(B)/gen/tunnel.pb-c.h: agent-proto/tunnel.proto
	$(Q)mkdir -p $(@D); echo "  PROTOC  $<"; protoc-c --proto_path=agent-proto --c_out=$(B)/gen $<
$(B)/gen/tunnel.pb-c.c: $(B)/gen/tunnel.pb-c.h ;
$(B)/gen/tunnel.pb-c.o: $(B)/gen/tunnel.pb-c.c
	$(Q)echo "  CC      $<"; $(CC) $(CPPFLAGS) $(OPT) -g $(if $(SAN),-fsanitize=$(SAN)) -w -c -o $@ $<

# ---- unit tests: tests/unit/<layer>_<module>.c becomes one Criterion program ----
UNIT_SRC  := $(wildcard tests/unit/*.c)
UNIT_BIN  := $(patsubst tests/unit/%.c,$(B)/test/%,$(UNIT_SRC))
# Everything of the gateway but main, so that a test may reach any module.
GW_LIB_OBJ := $(filter-out %/gateway/main.o,$(call obj,$(GW_SRC)))
AGENT_LIB_OBJ := $(filter-out %/agent/main.o,$(call obj,$(AGENT_SRC)))
EMU_LIB_OBJ := $(filter-out %/emulator/main.o,$(call obj,$(EMU_SRC)))
$(B)/test/base_%: $(B)/obj/tests/unit/base_%.o $(BASE_OBJ)
	$(LINK) -lcriterion -lcrypto
$(B)/test/net_%: $(B)/obj/tests/unit/net_%.o $(NET_OBJ) $(BASE_OBJ)
	$(LINK) -lcriterion $(EMU_LIBS)
$(B)/test/proto_%: $(B)/obj/tests/unit/proto_%.o $(PROTO_OBJ) $(BASE_OBJ)
	$(LINK) -lcriterion -lprotobuf-c -ljansson -lcrypto
$(B)/test/gateway_%: $(B)/obj/tests/unit/gateway_%.o $(GW_LIB_OBJ) $(PROTO_OBJ) $(NET_OBJ) $(BASE_OBJ)
	$(LINK) -lcriterion $(DAEMON_LIBS)
$(B)/test/agent_%: $(B)/obj/tests/unit/agent_%.o $(AGENT_LIB_OBJ) $(PROTO_OBJ) $(NET_OBJ) $(BASE_OBJ)
	$(LINK) -lcriterion -lprotobuf-c -larchive $(EMU_LIBS)
$(B)/test/emulator_%: $(B)/obj/tests/unit/emulator_%.o $(EMU_LIB_OBJ) $(NET_OBJ) $(BASE_OBJ)
	$(LINK) -lcriterion $(EMU_LIBS)

unit: $(UNIT_BIN)
	$(Q)tests/unit/run $(UNIT_BIN)

# ---- functional tests: the real docker client against real programs (tests/func/lib.sh) ----
TEST_IMAGES := $(O)/test-images/.built
$(TEST_IMAGES): tests/images/build.sh tests/images/static.c $(wildcard tests/func/predecessor*.py) $(STATIC_AGENT)
	$(Q)echo "  IMAGES  $(@D)"; tests/images/build.sh $(@D) $(STATIC_AGENT) && touch $@
test-images: $(TEST_IMAGES)
RUN_ENV = BUILD=$(B) IMAGES=$(O)/test-images CLIENTS=$(O)/clients

# Clients that Debian 12 does not have; nothing is installed on the machine.
CLIENTS := $(O)/clients/.installed
$(CLIENTS): $(wildcard tests/clients/*)
	$(Q)echo "  CLIENTS $(@D)"; tests/clients/install.sh $(@D) >$(@D).log 2>&1 || { tail -n 20 $(@D).log >&2; exit 1; }; touch $@
clients: $(CLIENTS)

func: all $(TEST_IMAGES) $(CLIENTS)
	$(Q)$(RUN_ENV) tests/func/run

# The same requests to dockerd and to the gateway, then the gateway's answers against the published documents.
diff: all $(TEST_IMAGES)
	$(Q)$(RUN_ENV) tests/diff/run
	$(Q)tests/contract/responses $(B)/diff/recorded.json || [ $$? = 77 ]

demo-run: all $(TEST_IMAGES)
	$(Q)$(RUN_ENV) deploy/demo.sh

# ---- the yardstick (tests/bench/run), and the memory over an hour (tests/bench/soak) ----
BENCH_BIN := $(addprefix $(B)/test/bench_,client floor wire swarm)
bench: all $(TEST_IMAGES) $(BENCH_BIN)
	$(Q)$(RUN_ENV) tests/bench/run
soak: all $(TEST_IMAGES)
	$(Q)$(RUN_ENV) tests/bench/soak
$(B)/test/bench_%: $(B)/obj/tests/bench/%.o
	$(LINK) -lpthread
# The emulator, whose tasks are sessions of agents in one process instead of containers.
$(B)/test/bench_swarm: $(B)/obj/tests/bench/swarm.o $(filter-out %/task.o,$(call obj,$(EMU_SRC))) $(PROTO_OBJ) $(NET_OBJ) $(BASE_OBJ)
	$(LINK) -lprotobuf-c $(EMU_LIBS)

# ---- faults: tests/chaos/run, docs/reliability.md ----
chaos: all $(TEST_IMAGES) $(B)/test/session_cuts
	$(Q)[ -n "$(CHAOS_SHORT)" ] || tests/chaos/earlier.sh $(O)/chaos/earlier
	$(Q)$(RUN_ENV) EARLIER=$(O)/chaos/earlier tests/chaos/run
$(B)/test/session_cuts: $(B)/obj/tests/chaos/session_cuts.o $(PROTO_OBJ) $(BASE_OBJ)
	$(LINK) -lprotobuf-c -ljansson -lcrypto

# ---- fuzzing: each tests/fuzz/<parser>.c includes the .c it feeds and takes the rest from an archive,
# whose member with the same symbols is then left alone. Corpora run once in `make check`.
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(FUZZ_SRC))
FUZZ_FLAGS := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined -w
FUZZ_OBJ := $(patsubst $(B)/%,$(O)/fuzz/%,$(filter-out $(B)/obj/gateway/main.o,$(call obj,$(GW_SRC)) \
	    $(NET_OBJ) $(BASE_OBJ) $(PROTO_OBJ)))
$(O)/fuzz/obj/%.o: %.c $(B)/gen/tunnel.pb-c.h
	$(Q)mkdir -p $(@D); echo "  CC      $< (fuzz)"; \
	clang $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
$(O)/fuzz/obj/llhttp/%.o: /usr/share/llhttp/%.c
	$(Q)mkdir -p $(@D); clang $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address -c -o $@ $<
$(O)/fuzz/gen/tunnel.pb-c.o: $(B)/gen/tunnel.pb-c.c
	$(Q)mkdir -p $(@D); clang $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address -c -o $@ $<
$(O)/fuzz/rest.a: $(FUZZ_OBJ)
$(O)/fuzz/emulator.a: $(patsubst $(B)/%,$(O)/fuzz/%,$(EMU_LIB_OBJ) $(NET_OBJ) $(BASE_OBJ))
$(O)/fuzz/%.a:
	$(Q)rm -f $@; ar rcsP $@ $^
FUZZ_LINK = $(Q)mkdir -p $(@D); echo "  FUZZ    $@"; \
	clang $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -MMD -MP -MF $@.d -o $@ $< $(filter %.a,$^)
$(O)/fuzz/emulator_%: tests/fuzz/emulator_%.c $(O)/fuzz/emulator.a
	$(FUZZ_LINK) $(EMU_LIBS)
$(O)/fuzz/%: tests/fuzz/%.c $(O)/fuzz/rest.a
	$(FUZZ_LINK) $(DAEMON_LIBS) -larchive

fuzz-smoke: $(FUZZ_BIN)
	$(Q)for f in $(FUZZ_BIN); do corpus=tests/fuzz/corpus/$$(basename $$f); mkdir -p $(O)/fuzz/empty; \
		$$f -runs=0 $$([ -d $$corpus ] && echo $$corpus || echo $(O)/fuzz/empty) >$$f.log 2>&1 || \
		{ tail -n 40 $$f.log; echo "fuzz corpus of $$f: failed"; exit 1; }; done; \
	echo "fuzz corpora: $(words $(FUZZ_BIN)) passed, 0 failed"

fuzz: $(FUZZ_BIN)
	$(Q)for f in $(FUZZ_BIN); do name=$$(basename $$f); mkdir -p $(O)/fuzz/found/$$name; \
		$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 -artifact_prefix=$(O)/fuzz/$$name- \
		$(O)/fuzz/found/$$name $$([ -d tests/fuzz/corpus/$$name ] && echo tests/fuzz/corpus/$$name) || exit 1; done

# What the functional tests have recorded between the gateway and Google, against Google's published documents.
contract: $(B)/test/gateway_auth
	$(Q)mkdir -p $(B)/func-records; rm -f $(B)/func-records/auth.jsonl; CONTRACT_RECORD=$(B)/func-records/auth.jsonl $< >/dev/null 2>&1 && \
	{ tests/contract/google $(B)/func-records || [ $$? = 77 ]; }

check-run: unit fuzz-smoke func diff
	$(Q)$(MAKE) --no-print-directory contract
check-build: all $(UNIT_BIN) $(FUZZ_BIN) $(TEST_IMAGES) $(CLIENTS)

# On a fresh machine these two install what they need, then start make again with it. A check that fails does
# not keep the others from being made.
demo: deps
	$(Q)$(MAKE) --no-print-directory $@-run
check: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) check-build
	$(Q)$(MAKE) --no-print-directory -k check-run

lint: $(B)/gen/tunnel.pb-c.h
	$(Q)tests/lint/run $(B)

# ---- installation: where programs, the agent's image and the unit go; docs/deploy.md says what to do then ----
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR    ?=
PACKAGE    := $(O)/sockerless-gateway_$(VERSION)_amd64.deb
install: all
	$(Q)deploy/install.sh $(B) "$(DESTDIR)" $(PREFIX) $(SYSCONFDIR)
package: $(PACKAGE)
$(PACKAGE): $(PROGRAMS) $(AGENT_IMAGE) $(wildcard deploy/*)
	$(Q)echo "  PACKAGE $@"; deploy/package.sh $(B) $(VERSION) $@

# The settings' page, from the table that the program reads them by.
man: $(B)/bin/sockerless-gateway
	$(Q)$< --man >docs/sockerless-gateway.8.new && mv docs/sockerless-gateway.8.new docs/sockerless-gateway.8

deps:
	deploy/install-deps.sh

help:
	@sed -n '/^# *make/s/^# //p; /^# Knobs/,/^$$/s/^# //p' Makefile

clean:
	rm -rf $(O)

.PHONY: all unit install package help man clean deps check check-build check-run contract diff func demo demo-run bench chaos lint fuzz fuzz-smoke test-images clients soak
-include $(shell find $(B)/obj $(O)/fuzz -name '*.d' 2>/dev/null)
