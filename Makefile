# make, make check, make asan, make bench, make bench-learning, make install PREFIX= DESTDIR=, make uninstall
PREFIX = /usr/local
BUILD = build
CFLAGS = -O3 -g
# without traps a choice between two numbers needs no branch, so that loops with one run on vectors;
# no result changes, but for the sign of a zero that was made a whole number and a float again, which nothing here does
WARN = -std=c11 -ffp-contract=off -fno-trapping-math -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith
PKG_CONFIG = pkg-config
PACKAGES = openblas sqlite3 jansson libcurl libutf8proc zlib libxxhash
VERSION := $(shell sed -n 's/^.define HARE_VERSION "\(.*\)"/\1/p' lib/base/opt.h)

ALL_CPPFLAGS = -D_GNU_SOURCE -Ilib -Icmd $(shell $(PKG_CONFIG) --cflags $(PACKAGES)) $(CPPFLAGS)
# a program loads only the libraries that it calls
LDLIBS = -Wl,--as-needed $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lcsv -lpthread -lm

BIN := $(patsubst cmd/%.c,$(BUILD)/%,$(wildcard cmd/hare-*.c))
LIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard lib/*/*.c)))
UNIT := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*.c))
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
MAN := $(wildcard man/*.[157])
HEADER := $(filter-out %/inside.h,$(sort $(wildcard lib/*/*.h)))

all: $(BIN)
unit: $(UNIT) $(BUILD)/tests/nosync.so

$(BUILD)/libhare.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/hare-%: $(BUILD)/cmd/hare-%.o $(BUILD)/cmd/filter.o $(BUILD)/libhare.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(BUILD)/libhare.a $(LDLIBS)
$(BUILD)/hare-bandit: $(BUILD)/cmd/bandit_job.o $(BUILD)/cmd/bandit_estimate.o $(BUILD)/cmd/place.o
$(BUILD)/hare-update: $(BUILD)/cmd/place.o
$(BUILD)/hare-eval: $(patsubst %,$(BUILD)/cmd/eval_%.o,plot replay report simulate titles titles_read titles_score)
$(BUILD)/hare-train: $(patsubst %,$(BUILD)/cmd/train_%.o,tokenizer decoder decoder_data decoder_lm distil lm convert)
$(BUILD)/hare-decode: $(patsubst %,$(BUILD)/cmd/decode_%.o,open row lm net put)
$(BUILD)/hare-pool: $(BUILD)/cmd/pool_vectors.o
$(BUILD)/hare-attend: $(patsubst %,$(BUILD)/cmd/attend_%.o,emit partial pool)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libhare.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# loaded into all that the tests run, whatever it is made with: no sanitizer
$(BUILD)/tests/%.so: tests/preload/%.c
	@mkdir -p $(@D)
	$(CC) $(WARN) -D_GNU_SOURCE -O1 -shared -fPIC -o $@ $<
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libhare.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(WARN) $(ALL_CPPFLAGS) $(CFLAGS) $(CFLAGS_$*) -MMD -MP -c -o $@ $<
# With the sanitizer of undefined behaviour these take a minute each: their memory is watched, and what they compute is compared
# with kernel_plain.c, which has both.
CFLAGS_lib/attend/kernel_avx2 = -fno-sanitize=undefined
CFLAGS_lib/attend/kernel_avx512 = $(CFLAGS_lib/attend/kernel_avx2)

# Everything that must hold: the floors, the pages, numbers against their slow twins, programs in pipes, a short fuzz.
check: all unit
	BUILD=$(BUILD) scripts/run-tests

SANITIZE = -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
sanitized:
	$(MAKE) BUILD=build-asan CFLAGS="$(SANITIZE)" all unit
asan: sanitized
	BUILD=build-asan scripts/run-tests

# Every figure that README and the notes state. DATA: a folder with pool.csv.gz to measure on, else this machine's packages
# are; BENCHES: which ones, all unless given.
bench: all $(BENCH)
	BUILD=$(BUILD) DATA=$(DATA) PARTS="$(PARTS)" MINUTES=$(MINUTES) scripts/bench $(BENCHES)

# One of them: what is learnt, with tables and figures in $(BUILD)/bench/learning/index.html. It takes hours, and goes on where it
# was left: MINUTES=5 begins nothing after five minutes, PARTS="replay trained" runs those parts, PARTS=none prints what is there.
bench-learning:
	$(MAKE) bench BENCHES=learning

completions: all
	@mkdir -p $(BUILD)/completions
	for b in $(BIN); do for s in bash zsh fish; do $$b --completion $$s > $(BUILD)/completions/$${b##*/}.$$s || exit 1; done; done

# The folders that an installation has of its own; quoted, as a path may hold blanks.
TO = $(DESTDIR)$(PREFIX)
SHARE = $(TO)/share

install: all completions
	install -d "$(TO)/bin" "$(TO)/lib/pkgconfig" "$(SHARE)/man/man1" "$(SHARE)/man/man5" "$(SHARE)/man/man7" \
	  "$(SHARE)/bash-completion/completions" "$(SHARE)/zsh/site-functions" "$(SHARE)/fish/vendor_completions.d"
	install $(BIN) "$(TO)/bin"
	for m in $(MAN); do install -m 644 $$m "$(SHARE)/man/man$${m##*.}" || exit 1; done
	for b in $(notdir $(BIN)); do \
	  install -m 644 $(BUILD)/completions/$$b.bash "$(SHARE)/bash-completion/completions/$$b" && \
	  install -m 644 $(BUILD)/completions/$$b.zsh "$(SHARE)/zsh/site-functions/_$$b" && \
	  install -m 644 $(BUILD)/completions/$$b.fish "$(SHARE)/fish/vendor_completions.d/$$b.fish" || exit 1; done
	install -m 644 $(BUILD)/libhare.a "$(TO)/lib"
	for h in $(HEADER); do install -D -m 644 $$h "$(TO)/include/hare/$${h#lib/}" || exit 1; done
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LDLIBS)|' scripts/hare.pc.in > $(BUILD)/hare.pc
	install -m 644 $(BUILD)/hare.pc "$(TO)/lib/pkgconfig"

uninstall:
	for b in $(notdir $(BIN)); do rm -f "$(TO)/bin/$$b" "$(SHARE)/bash-completion/completions/$$b" \
	  "$(SHARE)/zsh/site-functions/_$$b" "$(SHARE)/fish/vendor_completions.d/$$b.fish"; done
	for m in $(notdir $(MAN)); do rm -f "$(SHARE)/man/man$${m##*.}/$$m"; done
	rm -rf "$(TO)/include/hare"
	rm -f "$(TO)/lib/libhare.a" "$(TO)/lib/pkgconfig/hare.pc"

clean:
	rm -rf build build-asan

.PHONY: all unit check sanitized asan bench bench-learning completions install uninstall clean
.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(UNIT:=.d) $(patsubst %.c,$(BUILD)/%.d,$(wildcard cmd/*.c)) $(wildcard $(BUILD)/tests/bench/*.d)
