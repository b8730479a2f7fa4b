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
#   asan-clang   builds with ASan + UBSan (clang, optimised a little), warnings are errors; unit tests
#   fuzz       * builds the libFuzzer targets (the same build); each runs MQWARD_FUZZ_SECONDS (default 5)
#   release      optimised builds (clang: of what is tested), warnings are errors; unit tests of base and of the audit records;
#                no step of a message costs a tenth more instructions than tests/bench/README.md keeps, 10,000 rules cost
#                what 10 cost, a verified signature little more than its HMAC; a message that is scanned for 1,000 rules
#                costs a hundredth of libyara's own call (CPU time, in one run);
#                1,000,000 events arrive while mqward and Redis are killed and disk and memory are full
#                (tests/e2e/test_endurance.py)
#
# Environment: MQWARD_BUILD_ROOT (default: build/), MQWARD_JOBS (default: number of processors), MQWARD_FUZZ_SECONDS,
# MQWARD_PYTEST (further arguments for pytest, e.g. "-k tls -x"), MQWARD_ROUNDS (how much of the unit tests of random cases
# runs, in percent; default 10 with each compiler, other cases in each run; a failure says its MQWARD_SEED).
# Behind the summary stands what failed, in a few lines each.
# The last line is "N passed, N failed"; the exit status is 0 only if nothing failed.
set -uo pipefail

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${MQWARD_BUILD_ROOT:-$SOURCE/build}
JOBS=${MQWARD_JOBS:-$(nproc)}
FUZZ_SECONDS=${MQWARD_FUZZ_SECONDS:-5}
MOST_FAILURES=60 # lines
export MQWARD_ROUNDS=${MQWARD_ROUNDS:-10}
ALL=(install format asan e2e e2e-rabbitmq e2e-aedes tsan asan-clang fuzz release)
QUICK=(install format asan e2e fuzz)

passed=0
failed=0
summary=()
failures=() # lines

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

# explain NAME KIND LOG: what failed goes to the end of the output.
explain() {
    local lines
    mapfile -t lines < <("$SOURCE/tests/failures.py" "$2" "$3")
    failures+=("$1:" "${lines[@]}")
}

# step NAME COMMAND...: a check that passes or fails as a whole.
step() {
    later "$@"
    joined
}

# later NAME COMMAND...: a step that runs beside what follows, up to joined.
later() {
    local name=$1
    local log=$BUILD/step.${1//[^a-z0-9]/-}.log
    shift
    ( "$@" ) >"$log" 2>&1 &
    beside+=("$!|$name|$log|$SECONDS")
}
beside=()

# joined: waits for all that began later; fails if one of them has failed.
joined() {
    local row id name log began status=0
    for row in "${beside[@]}"; do
        IFS='|' read -r id name log began <<<"$row"
        if wait "$id"; then
            tail -3 "$log"
            record "$name" 1 0 "$((SECONDS - began)) s"
        else
            tail -60 "$log"
            echo "FAILED: $name; the whole log: $log" >&2
            explain "$name" step "$log"
            record "$name" 0 1 "$((SECONDS - began)) s"
            status=1
        fi
    done
    beside=()
    return "$status"
}

# What is built of a preset. Of clang's release only what is tested: its warnings of all the rest are those of asan-clang.
declare -A TARGETS=(
    [asan]="proxy/all tests/unit/all tests/e2e/all mqward-bench-load mqward-bench-sink"
    [tsan]="proxy/all tests/unit/all tests/e2e/all"
    [asan-clang]="proxy/all tests/unit/all tests/fuzz/all"
    [release]="proxy/all tests/bench/all test_base test_exporters"
    [release-clang]="test_base test_exporters"
)
ahead= # process that builds what later stages need, while tests leave processors idle

# build PRESET [TARGET]: behind the one that builds ahead, if that has not done it yet; then nothing is left to do but to
# say so.
build() {
    while [ -n "$ahead" ] && [ "$BASHPID" != "$ahead" ] && kill -0 "$ahead" 2>/dev/null && [ ! -e "$BUILD/$1.ahead" ]; do
        sleep 1
    done
    # shellcheck disable=SC2086
    cmake -S "$SOURCE" --preset "$1" -B "$BUILD/$1" -DCMAKE_COMPILE_WARNING_AS_ERROR=ON &&
        cmake --build "$BUILD/$1" -j "$JOBS" --target ${2:-${TARGETS[$1]}}
}

# build_ahead PRESET...: at the lowest priority. What fails here fails again where it is needed.
build_ahead() {
    local preset
    [ $# -gt 0 ] || return 0
    for preset in "$@"; do rm -f "$BUILD/$preset.ahead"; done
    {
        renice -n 19 "$BASHPID" >/dev/null
        ahead=$BASHPID
        for preset in "$@"; do
            build "$preset" || true
            touch "$BUILD/$preset.ahead"
        done
    } >"$BUILD/ahead.log" 2>&1 &
    ahead=$!
    trap 'pkill -P "$ahead"; kill "$ahead" 2>/dev/null' EXIT
}

# unit PRESET: ctest, each of its Criterion programs counted by its tests. Under ThreadSanitizer only what has threads:
# the rest is a pure function of its arguments, and slow there.
unit() {
    local preset=$1 log=$BUILD/$1.ctest.log began=$SECONDS good=0 bad=0 status=0
    local -x ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1
    ctest --test-dir "$BUILD/$preset" -V -j "$((JOBS * 2))" >"$log" 2>&1 || status=$? # some wait for servers
    # Criterion: "[====] Synthesis: Tested: 12 | Passing: 12 | Failing: 0 | Crashing: 0"
    read -r good bad < <(sed -n 's/.*Tested: [^0-9]*\([0-9]*\).*Passing: [^0-9]*\([0-9]*\).*/\1 \2/p' "$log" |
        sed 's/\x1b\[[0-9;]*m//g' | awk '{tested += $1; good += $2} END {print good + 0, tested - good + 0}')
    if [ "$status" -ne 0 ]; then
        explain "unit ($preset)" unit "$log"
        [ "$bad" -gt 0 ] || bad=1
    fi
    grep -E '^ *[0-9]+/[0-9]+ Test|tests passed' "$log"
    if [ "$status" -ne 0 ]; then
        "$SOURCE/tests/failures.py" unit "$log" 60
        echo "the whole log: $log"
    fi
    if [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
        echo "FAILED: no unit test ran" >&2
        bad=1
    fi
    record "unit ($preset)" "$good" "$bad" "$((SECONDS - began)) s"
}

# e2e NAME PRESET [PYTEST ARGUMENT...]
e2e() {
    local began=$SECONDS
    e2e_run "$@" | tee "$BUILD/$1.$2.pytest.log"
    e2e_count "$1" "$2" "${PIPESTATUS[0]}" "$began"
}

# e2e_run NAME PRESET [PYTEST ARGUMENT...]: its status is pytest's.
e2e_run() {
    local preset=$2 extra=()
    local workers=$((JOBS * 3)) # most of the time each waits
    shift 2
    read -r -a extra <<<"${MQWARD_PYTEST:-}"
    (cd "$SOURCE/tests/e2e" && PYTHONDONTWRITEBYTECODE=1 MQWARD_BINARY=$BUILD/$preset/proxy/mqward \
        /usr/bin/python3 -m pytest -n "$workers" --durations=5 "$@" "${extra[@]}" .) 2>&1
}

# e2e_count NAME PRESET STATUS BEGAN: what e2e_run has left in its log.
e2e_count() {
    local name=$1 preset=$2 status=$3 began=$4 log=$BUILD/$1.$2.pytest.log good bad skipped left
    good=$(grep -oE '[0-9]+ passed' "$log" | tail -1 | cut -d' ' -f1)
    bad=$(tail -1 "$log" | grep -oE '[0-9]+ (failed|errors?)' | awk '{sum += $1} END {print sum + 0}')
    skipped=$(tail -1 "$log" | grep -oE '[0-9]+ skipped' || true)
    left=$(sed -n 's/.*not run in front of [a-z]*: \([0-9]*\) tests.*/\1 not for this broker/p' "$log")
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$bad" -eq 0 ] || explain "$name ($preset)" pytest "$log"
    record "$name ($preset)" "${good:-0}" "$bad" "$((SECONDS - began)) s${skipped:+, $skipped}${left:+, $left}"
}

# endurance PRESET: as the end-to-end test of that name, with so many events as the acceptance asks for.
endurance() {
    (cd "$SOURCE/tests/e2e" && PYTHONDONTWRITEBYTECODE=1 MQWARD_EVENTS=1000000 MQWARD_BINARY=$BUILD/$1/proxy/mqward \
        /usr/bin/python3 -m pytest -q test_endurance.py)
}

# unsanitized PRESET: the end-to-end test that says nothing of a program with a sanitizer.
unsanitized() {
    (cd "$SOURCE/tests/e2e" && PYTHONDONTWRITEBYTECODE=1 MQWARD_BINARY=$BUILD/$1/proxy/mqward \
        /usr/bin/python3 -m pytest -q test_reload_rules.py -k test_memory_of_old_generations_is_returned)
}

# optimised PRESET: the unit tests of what the compiler makes other code of when it optimises (base/json.h).
optimised() {
    (cd "$BUILD/$1/tests/unit/base" && ./test_base --jobs "$JOBS" --timeout 120) &&
        (cd "$BUILD/$1/tests/unit/exporters" && ./test_exporters --jobs "$JOBS" --timeout 120)
}

# instructions PRESET: what the steps of a message cost, as tests/bench/README.md keeps it; before it, its own test.
instructions() {
    local -x PYTHONDONTWRITEBYTECODE=1
    /usr/bin/python3 "$SOURCE/tests/bench/test_instructions.py" &&
        /usr/bin/python3 "$SOURCE/tests/bench/instructions.py" --build "$BUILD/$1" --check
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
    for target in "$BUILD"/asan-clang/tests/fuzz/fuzz_*; do
        [ -f "$target" ] && [ -x "$target" ] && targets+=("$target")
    done
    [ ${#targets[@]} -gt 0 ] || record "fuzz targets" 0 1 "there are none"
    for target in "${targets[@]}"; do
        rm -f "$BUILD/${target##*/}.status"
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
            failures+=("$name:" "    $(grep -m 1 -E 'ERROR: |runtime error:|Assertion|SUMMARY' "$BUILD/$name.log")"
                "    $(grep -m 1 'Test unit written to' "$BUILD/$name.log")")
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
build_asan() {
    step "build (asan, gcc)" build asan
}
stage_asan() {
    build_asan
    local built=$?
    # shellcheck disable=SC2046
    build_ahead $(later_presets)
    [ "$built" -eq 0 ] && unit asan
}
# The presets of the chosen stages that come later.
later_presets() {
    local stage
    for stage in "${stages[@]}"; do
        case $stage in
        tsan | asan-clang) echo "$stage" ;;
        release) echo release release-clang ;;
        esac
    done
}
stage_e2e() {
    [ -x "$BUILD/asan/proxy/mqward" ] || build_asan
    e2e e2e asan
}
# The tests of a file go to one worker: its worlds are started once, and RabbitMQ's second node, too. RabbitMQ's nodes
# take long to start and leave processors idle: the tests with aedes run beside them, on ports of their own.
aedes=
stage_e2e-rabbitmq() {
    [ -x "$BUILD/asan/proxy/mqward" ] || build_asan
    if [[ " ${stages[*]} " == *" e2e-aedes "* ]]; then
        aedes_began=$SECONDS
        e2e_aedes >"$BUILD/e2e-aedes.asan.pytest.log" &
        aedes=$!
    fi
    MQWARD_E2E_PORTS=$((JOBS * 2)) e2e e2e-rabbitmq asan --broker rabbitmq --dist loadfile -n "$((JOBS + 1))" # and a node for each worker
}
stage_e2e-aedes() {
    local status=0
    if [ -z "$aedes" ]; then
        [ -x "$BUILD/asan/proxy/mqward" ] || build_asan
        aedes_began=$SECONDS
        e2e_aedes | tee "$BUILD/e2e-aedes.asan.pytest.log"
        status=${PIPESTATUS[0]}
    else
        wait "$aedes" || status=$?
        cat "$BUILD/e2e-aedes.asan.pytest.log"
    fi
    e2e_count e2e-aedes asan "$status" "$aedes_began"
}
e2e_aedes() {
    e2e_run e2e-aedes asan --broker aedes --dist loadfile -n "$((JOBS * 2))"
}
stage_tsan() {
    step "build (tsan, gcc)" build tsan && unit tsan && e2e e2e tsan -m core
}
stage_asan-clang() {
    step "build (asan, clang)" build asan-clang && unit asan-clang
}
stage_fuzz() {
    step "build (fuzz, clang)" build asan-clang tests/fuzz/all && fuzz_targets
}
stage_release() {
    if step "build (release, gcc)" build release; then
        step "scan cost" "$BUILD/release/tests/bench/mqward-bench-scan" --check
        later "instructions" instructions release
        later "optimised (gcc)" optimised release
        later "1,000,000 events" endurance release
        later "memory of reloads" unsanitized release
    fi
    later "build (release, clang)" build release-clang
    joined
    [ -x "$BUILD/release-clang/tests/unit/exporters/test_exporters" ] && step "optimised (clang)" optimised release-clang
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
if [ ${#failures[@]} -gt 0 ]; then
    say "what failed"
    printf '%s\n' "${failures[@]:0:MOST_FAILURES}"
    [ ${#failures[@]} -le "$MOST_FAILURES" ] || echo "... and $((${#failures[@]} - MOST_FAILURES)) lines more"
fi
echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
