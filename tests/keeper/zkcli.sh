# ZooKeeper's command line against the keeper: `zkcli.sh ADDRESS`. Needs KAFKA_JARS.
set -euo pipefail

output=$(java -Dlog4j.configuration=file:/dev/null -cp "$KAFKA_JARS/*" org.apache.zookeeper.ZooKeeperMain -server "$1" 2>&1 << 'COMMANDS'
create /cli one
create -s /cli/s- x
create -e /cli/e
create -c /cli/c
create -t 100000 /cli/t
get /cli
set -v 0 /cli two
set -v 0 /cli three
stat /cli
ls /
ls -s /cli
ls -R /cli
getAcl /cli
setAcl /cli world:anyone:cdrwa
addauth digest bob:secret
whoami
setquota -n 10 /cli
listquota /cli
create /cli/counted x
listquota /cli
delquota -n /cli
getEphemerals
getAllChildrenNumber /cli
sync /cli
delete /cli/s-0000000000
deleteall /cli
stat /cli
version
quit
COMMANDS
)

expect() { grep -qF -- "$1" <<< "$output" || { echo "zkCli did not print: $1"; echo "$output"; exit 1; }; }
expect "Created /cli"
expect "Created /cli/s-0000000000"
expect "version No is not valid : /cli"
expect "dataVersion = 1"
expect "[cli, zookeeper]"
expect "[c, e, s-0000000000, t]"
expect "'world,'anyone"
expect "digest: bob"
expect "Output quota for /cli count=10,bytes=-1"
expect "Output stat for /cli count=5,bytes=4"
expect "Output stat for /cli count=6,bytes=5"
expect "[/cli/e]"
expect "Sync is OK"
expect "Node does not exist: /cli"
echo "zkCli: ok"
