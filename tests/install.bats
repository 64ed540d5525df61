# make install, make uninstall, and a program of somebody else that links libhare
bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/.." || return 1
	to="$BATS_TEST_TMPDIR/a place"
	unset MAKEFLAGS MAKELEVEL MFLAGS
	install() { make -s BUILD="${BUILD:-build}" install PREFIX=/opt/hare DESTDIR="$to"; }
}

@test "an installation is readable by all, whatever the umask, also under a path with a blank" {
	umask 077
	run -0 --separate-stderr install
	[ -z "$stderr" ]
	for file in bin/hare-attend lib/libhare.a lib/pkgconfig/hare.pc include/hare/base/fault.h share/man/man7/hare.7 \
	    share/man/man5/hare-pool.5 share/man/man1/hare-attend.1 share/bash-completion/completions/hare-attend \
	    share/zsh/site-functions/_hare-attend share/fish/vendor_completions.d/hare-attend.fish; do
		[ -s "$to/opt/hare/$file" ] || { echo "$file is not there"; return 1; }
	done
	[ -z "$(find "$to" -type f ! -perm -444)" ]
	[ -z "$(find "$to" -name inside.h)" ]
}

@test "uninstalling leaves no file, and may be done twice" {
	install
	make -s BUILD="${BUILD:-build}" uninstall PREFIX=/opt/hare DESTDIR="$to"
	[ -z "$(find "$to" -type f)" ]
	run -0 --separate-stderr make -s BUILD="${BUILD:-build}" uninstall PREFIX=/opt/hare DESTDIR="$to"
	[ -z "$stderr" ]
}

@test "a program links libhare by what pkg-config says, with --static and without" {
	to="$BATS_TEST_TMPDIR/to"
	make -s BUILD="${BUILD:-build}" install PREFIX="$to"
	cat > "$to/own.c" <<-'END'
	#include <stdio.h>
	#include "mat/mat.h"
	#include "state/state.h"
	int main(void)
	{
		struct fault f;
		struct state *s = mat_check(&f) < 0 ? NULL : state_open("/nobody/has/this", STATE_READ, &f);
		puts(s ? "open" : f.text);
		return s ? 1 : 0;
	}
	END
	sanitize=
	nm "$to/lib/libhare.a" 2> /dev/null | grep -q __asan && sanitize=-fsanitize=address,undefined
	export PKG_CONFIG_PATH="$to/lib/pkgconfig"
	for static in '' --static; do
		# shellcheck disable=SC2046,SC2086
		"${CC:-cc}" $sanitize -o "$to/own" "$to/own.c" $(pkg-config $static --cflags --libs hare)
		run -0 "$to/own"
		[[ "$output" == */nobody/has/this* ]]
	done
}
