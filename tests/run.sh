#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests, from a fresh clone on a bare Debian 12: installs, builds with sanitizers, runs, sums up.
#
#   tests/run.sh [--quick] [--no-install] [STAGE...]
#
# Stages, in this order (default: all; with --quick: those marked *):
#   install    * Debian packages for building and testing
#   format     * clang-format agrees with every file
#   asan       * builds with ASan + UBSan (gcc), warnings are errors; unit tests
#   e2e        * end-to-end tests of that binary against Mosquitto and Redis
#   e2e-rabbitmq those of them that a broker is part of, against RabbitMQ
#   e2e-aedes    the same against aedes
#   tsan         builds with ThreadSanitizer (gcc); unit tests; the core of the end-to-end tests
#   asan-clang   builds with ASan + UBSan (clang), warnings are errors; unit tests
#   fuzz       * builds the libFuzzer targets; each runs MQWARD_FUZZ_SECONDS (default 10)
#   release      optimised builds with gcc and clang, warnings are errors; 10,000 rules cost what 10 cost, a
#                verified signature little more than its HMAC (in instructions), and a message that is scanned for
#                1,000 rules a hundredth of libyara's own call (CPU time, in one run)
#
# Environment: MQWARD_BUILD_ROOT (default: build/), MQWARD_JOBS (default: number of processors), MQWARD_FUZZ_SECONDS,
# MQWARD_PYTEST (further arguments for pytest, e.g. "-k tls -x").
# The last line is "N passed, N failed"; the exit status is 0 only if nothing failed.
set -uo pipefail

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${MQWARD_BUILD_ROOT:-$SOURCE/build}
JOBS=${MQWARD_JOBS:-$(nproc)}
FUZZ_SECONDS=${MQWARD_FUZZ_SECONDS:-10}
ALL=(install format asan e2e e2e-rabbitmq e2e-aedes tsan asan-clang fuzz release)
QUICK=(install format asan e2e fuzz)

passed=0
failed=0
summary=()

usage() {
    sed -n '3,/^set -uo/p' "$0" | sed '$d; s/^# \{0,1\}//'
}

say() {
    printf '\n== %s\n' "$*"
}

# record NAME PASSED FAILED NOTE: one line of the summary.
record() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    local verdict=ok
    [ "$3" -eq 0 ] || verdict=FAILED
    summary+=("$(printf '%-28s %-6s %5d passed %4d failed   %s' "$1" "$verdict" "$2" "$3" "$4")")
}

# step NAME COMMAND...: a check that passes or fails as a whole.
step() {
    local name=$1 began=$SECONDS
    shift
    if "$@"; then
        record "$name" 1 0 "$((SECONDS - began)) s"
    else
        echo "FAILED: $name" >&2
        record "$name" 0 1 "$((SECONDS - began)) s"
        return 1
    fi
}

# build PRESET [CMAKE ARGUMENT...]
build() {
    local preset=$1
    shift
    cmake -S "$SOURCE" --preset "$preset" -B "$BUILD/$preset" "$@" >"$BUILD/$preset.configure.log" 2>&1 || {
        cat "$BUILD/$preset.configure.log"
        return 1
    }
    cmake --build "$BUILD/$preset" -j "$JOBS"
}

# unit PRESET: ctest, each of its Criterion programs counted by its tests. Under ThreadSanitizer only what has threads:
# the rest is a pure function of its arguments, and slow there.
unit() {
    local preset=$1 log=$BUILD/$1.ctest.log began=$SECONDS good=0 bad=0 status=0 ring='' select=()
    local -x ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1
    if [[ $preset == tsan* ]]; then
        select=(-E '^test_(base|mqtt|policy|config|session)$')
        { "$BUILD/$preset/tests/unit/base/test_base" --filter 'ring*' &&
            "$BUILD/$preset/tests/unit/policy/test_policy" --filter 'keyring_cache*'; } >"$log.ring" 2>&1 &
        ring=$!
    fi
    ctest --test-dir "$BUILD/$preset" -V -j "$JOBS" "${select[@]}" >"$log" 2>&1 || status=$?
    if [ -n "$ring" ]; then
        wait "$ring" || status=$?
        cat "$log.ring" >>"$log"
    fi
    # Criterion: "[====] Synthesis: Tested: 12 | Passing: 12 | Failing: 0 | Crashing: 0"
    read -r good bad < <(sed -n 's/.*Tested: [^0-9]*\([0-9]*\).*Passing: [^0-9]*\([0-9]*\).*/\1 \2/p' "$log" |
        sed 's/\x1b\[[0-9;]*m//g' | awk '{tested += $1; good += $2} END {print good + 0, tested - good + 0}')
    if [ "$status" -ne 0 ]; then
        grep -E 'FAIL\]|CRASH|Assertion Failed|SUMMARY|runtime error|ThreadSanitizer' "$log" | head -60
        echo "the whole log: $log"
        [ "$bad" -gt 0 ] || bad=1
    fi
    grep -E '^ *[0-9]+/[0-9]+ Test|tests passed' "$log"
    if [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
        echo "FAILED: no unit test ran" >&2
        bad=1
    fi
    record "unit ($preset)" "$good" "$bad" "$((SECONDS - began)) s"
}

# e2e NAME PRESET [PYTEST ARGUMENT...]
e2e() {
    local name=$1 preset=$2 log=$BUILD/$1.$2.pytest.log began=$SECONDS good bad skipped left status=0 extra=()
    shift 2
    read -r -a extra <<<"${MQWARD_PYTEST:-}"
    [ -x "$BUILD/$preset/proxy/mqward" ] || {
        echo "FAILED: no binary $BUILD/$preset/proxy/mqward" >&2
        record "$name ($preset)" 0 1 "no binary"
        return
    }
    (cd "$SOURCE/tests/e2e" && PYTHONDONTWRITEBYTECODE=1 MQWARD_BINARY=$BUILD/$preset/proxy/mqward \
        /usr/bin/python3 -m pytest -n "$JOBS" --durations=5 "$@" "${extra[@]}" .) 2>&1 | tee "$log" || status=$?
    good=$(grep -oE '[0-9]+ passed' "$log" | tail -1 | cut -d' ' -f1)
    bad=$(tail -1 "$log" | grep -oE '[0-9]+ (failed|errors?)' | awk '{sum += $1} END {print sum + 0}')
    skipped=$(tail -1 "$log" | grep -oE '[0-9]+ skipped' || true)
    left=$(sed -n 's/.*not run in front of [a-z]*: \([0-9]*\) tests.*/\1 not for this broker/p' "$log")
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    record "$name ($preset)" "${good:-0}" "$bad" "$((SECONDS - began)) s${skipped:+, $skipped}${left:+, $left}"
}

check_format() {
    local files
    mapfile -t files < <(find "$SOURCE" \( -path "$SOURCE/build*" -o -path "$SOURCE/.git" \) -prune -o \
        -type f \( -name '*.c' -o -name '*.h' \) -print)
    [ ${#files[@]} -gt 0 ] && clang-format --dry-run --Werror "${files[@]}"
}

# fuzz_one TARGET: its status goes to $BUILD/<name>.status.
fuzz_one() {
    local name=${1##*/} seeds=() status=0
    [ -d "$SOURCE/tests/fuzz/corpus/${name#fuzz_}" ] && seeds=("$SOURCE/tests/fuzz/corpus/${name#fuzz_}")
    mkdir -p "$BUILD/corpus/$name" "$BUILD/findings"
    "$1" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$BUILD/findings/$name-" "$BUILD/corpus/$name" "${seeds[@]}" >"$BUILD/$name.log" 2>&1 || status=$?
    echo "$status" >"$BUILD/$name.status"
}

fuzz_targets() {
    local target name targets=()
    for target in "$BUILD"/fuzz/tests/fuzz/fuzz_*; do
        [ -f "$target" ] && [ -x "$target" ] && targets+=("$target")
    done
    for target in "${targets[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
        fuzz_one "$target" &
    done
    wait
    for target in "${targets[@]}"; do
        name=${target##*/}
        if [ "$(cat "$BUILD/$name.status")" -eq 0 ]; then
            echo "$name: $(sed -n 's/stat::number_of_executed_units: *//p' "$BUILD/$name.log") inputs, no finding"
            record "$name" 1 0 "$FUZZ_SECONDS s"
        else
            tail -40 "$BUILD/$name.log"
            record "$name" 0 1 "finding: see $BUILD/$name.log and $BUILD/findings"
        fi
    done
}

stage_install() {
    step "install" sh -c "'$SOURCE/scripts/install-build.sh' && '$SOURCE/scripts/install-test.sh'"
}
stage_format() {
    step "clang-format" check_format
}
stage_asan() {
    step "build (asan, gcc)" build asan && unit asan
}
stage_e2e() {
    [ -x "$BUILD/asan/proxy/mqward" ] || step "build (asan, gcc)" build asan
    e2e e2e asan
}
# The tests of a file go to one worker: its worlds are started once, and RabbitMQ's second node, too.
stage_e2e-rabbitmq() {
    [ -x "$BUILD/asan/proxy/mqward" ] || step "build (asan, gcc)" build asan
    e2e e2e-rabbitmq asan --broker rabbitmq --dist loadfile
}
stage_e2e-aedes() {
    [ -x "$BUILD/asan/proxy/mqward" ] || step "build (asan, gcc)" build asan
    e2e e2e-aedes asan --broker aedes --dist loadfile
}
stage_tsan() {
    step "build (tsan, gcc)" build tsan && unit tsan && e2e e2e tsan -m core
}
stage_asan-clang() {
    step "build (asan, clang)" build asan-clang && unit asan-clang
}
stage_fuzz() {
    step "build (fuzz, clang)" build fuzz && fuzz_targets
}
stage_release() {
    step "build (release, gcc)" build release -DCMAKE_COMPILE_WARNING_AS_ERROR=ON &&
        step "decision cost" env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$SOURCE/tests/bench/decisions.py" \
            --build "$BUILD/release" --check &&
        step "signature cost" env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$SOURCE/tests/bench/signatures.py" \
            --build "$BUILD/release" --check &&
        step "scan cost" "$BUILD/release/tests/bench/mqward-bench-scan" --check
    step "build (release, clang)" build release-clang -DCMAKE_COMPILE_WARNING_AS_ERROR=ON
}

stages=()
quick=
install=yes
for argument in "$@"; do
    case $argument in
    --quick) quick=yes ;;
    --no-install) install= ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        if ! declare -F "stage_$argument" >/dev/null; then
            echo "error: unknown stage '$argument'; stages: ${ALL[*]}" >&2
            exit 2
        fi
        stages+=("$argument")
        ;;
    esac
done
if [ ${#stages[@]} -eq 0 ]; then
    if [ -n "$quick" ]; then stages=("${QUICK[@]}"); else stages=("${ALL[@]}"); fi
fi

mkdir -p "$BUILD"
for stage in "${stages[@]}"; do
    [ "$stage" = install ] && [ -z "$install" ] && continue
    say "$stage"
    "stage_$stage"
    if [ "$stage" = install ] && [ "$failed" -gt 0 ]; then
        break
    fi
done

say "summary ($SECONDS s)"
printf '%s\n' "${summary[@]}"
echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
