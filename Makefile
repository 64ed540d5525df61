# make, make check, make asan, make bench, make install PREFIX= DESTDIR=, make uninstall
PREFIX = /usr/local
BUILD = build
CFLAGS = -O3 -g
WARN = -std=c11 -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith
PKG_CONFIG = pkg-config
PACKAGES = openblas sqlite3 jansson libcurl libutf8proc zlib libxxhash
VERSION := $(shell sed -n 's/^.define HARE_VERSION "\(.*\)"/\1/p' lib/base/opt.h)

ALL_CPPFLAGS = -D_GNU_SOURCE -Ilib -Icmd $(shell $(PKG_CONFIG) --cflags $(PACKAGES)) $(CPPFLAGS)
LDLIBS = $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lcsv -lpthread -lm

BIN := $(patsubst cmd/%.c,$(BUILD)/%,$(wildcard cmd/hare-*.c))
LIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard lib/*/*.c)))
UNIT := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*.c))
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
MAN := $(wildcard man/*.[157])

all: $(BIN)
unit: $(UNIT)

$(BUILD)/libhare.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/hare-%: $(BUILD)/cmd/hare-%.o $(BUILD)/cmd/filter.o $(BUILD)/libhare.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libhare.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libhare.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(WARN) $(ALL_CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Everything that must hold: the floors, the pages, numbers against their slow twins, programs in pipes, a short fuzz.
check: all unit
	BUILD=$(BUILD) scripts/run-tests

asan:
	$(MAKE) BUILD=build-asan CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined" check

# Every figure that README and the notes state. DATA: a folder with pool.csv.gz to measure on, else this machine's packages
# are; BENCHES: which ones, all unless given.
bench: all $(BENCH)
	BUILD=$(BUILD) DATA=$(DATA) scripts/bench $(BENCHES)

completions: all
	@mkdir -p $(BUILD)/completions
	for b in $(BIN); do for s in bash zsh fish; do $$b --completion $$s > $(BUILD)/completions/$${b##*/}.$$s || exit 1; done; done

install: all completions
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/hare
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -d $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install $(BIN) $(DESTDIR)$(PREFIX)/bin
	for s in 1 5 7; do for m in man/*.$$s; do install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$$s/ || exit 1; done; done
	for b in $(notdir $(BIN)); do \
	  install -m 644 $(BUILD)/completions/$$b.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$b && \
	  install -m 644 $(BUILD)/completions/$$b.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$b && \
	  install -m 644 $(BUILD)/completions/$$b.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$b.fish || exit 1; done
	install -m 644 $(BUILD)/libhare.a $(DESTDIR)$(PREFIX)/lib
	for d in lib/*/; do d=$${d#lib/}; install -d $(DESTDIR)$(PREFIX)/include/hare/$$d && \
	  install -m 644 lib/$$d*.h $(DESTDIR)$(PREFIX)/include/hare/$$d || exit 1; done
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' scripts/hare.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/hare.pc

uninstall:
	cd $(DESTDIR)$(PREFIX)/bin && rm -f $(notdir $(BIN))
	for m in $(notdir $(MAN)); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$$m; done
	for b in $(notdir $(BIN)); do rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$b \
	  $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$b $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$b.fish; done
	rm -rf $(DESTDIR)$(PREFIX)/include/hare
	rm -f $(DESTDIR)$(PREFIX)/lib/libhare.a $(DESTDIR)$(PREFIX)/lib/pkgconfig/hare.pc

clean:
	rm -rf build build-asan

.PHONY: all unit check asan bench completions install uninstall clean
.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(patsubst $(BUILD)/%,$(BUILD)/cmd/%.d,$(BIN)) $(UNIT:=.d) $(BUILD)/cmd/filter.d $(wildcard $(BUILD)/tests/bench/*.d)
