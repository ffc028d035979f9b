// Apache's own Java client drives the keeper: `JavaCheck ADDRESS`.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

public final class JavaCheck {
    private static final List<ACL> OPEN = ZooDefs.Ids.OPEN_ACL_UNSAFE;
    private static String address;

    interface Action {
        void run() throws Exception;
    }

    /** Events in the order of their arrival. */
    static final class Events implements Watcher {
        final BlockingQueue<WatchedEvent> queue = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != EventType.None) {
                queue.add(event);
            }
        }

        void expect(EventType type, String path) throws InterruptedException {
            WatchedEvent event = queue.poll(30, TimeUnit.SECONDS);
            check(event != null && event.getType() == type && path.equals(event.getPath()), "event " + event);
        }
    }

    static void check(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }

    static void refused(KeeperException.Code code, Action action) throws Exception {
        try {
            action.run();
        } catch (KeeperException e) {
            check(e.code() == code, "refused with " + e.code() + " where " + code + " was due");
            return;
        }
        throw new AssertionError("not refused with " + code);
    }

    static ZooKeeper connect() throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper client = new ZooKeeper(address, 10000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        check(connected.await(15, TimeUnit.SECONDS), "no session");
        return client;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void nodes() throws Exception {
        ZooKeeper zk = connect();
        Stat stat = new Stat();
        check(zk.create("/j", bytes("one"), OPEN, CreateMode.PERSISTENT, stat).equals("/j"), "name");
        check(stat.getVersion() == 0 && stat.getDataLength() == 3 && stat.getCzxid() == stat.getPzxid(), "" + stat);
        check(Arrays.equals(zk.getData("/j", false, stat), bytes("one")), "data");
        check(zk.setData("/j", bytes("two"), 0).getVersion() == 1, "version");
        check(zk.create("/j/null", null, OPEN, CreateMode.PERSISTENT).equals("/j/null"), "name");
        check(zk.getData("/j/null", false, null) == null, "null data stays null");
        check(zk.create("/j/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL).equals("/j/s0000000001"), "sequence");
        zk.create("/j/c", null, OPEN, CreateMode.CONTAINER);
        zk.create("/j/t", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, stat, 100000);
        check(stat.getEphemeralOwner() == 0, "a time to live is no owner");
        zk.create("/j/e", null, OPEN, CreateMode.EPHEMERAL);
        check(zk.getEphemerals().equals(List.of("/j/e")), "ephemerals");
        check(zk.getAllChildrenNumber("/j") == 5, "descendants");
        refused(KeeperException.Code.BADVERSION, () -> zk.setData("/j", null, 0));
        refused(KeeperException.Code.NODEEXISTS, () -> zk.create("/j", null, OPEN, CreateMode.PERSISTENT));
        refused(KeeperException.Code.NONODE, () -> zk.getData("/none", false, null));
        refused(KeeperException.Code.NOTEMPTY, () -> zk.delete("/j", -1));
        refused(KeeperException.Code.NOCHILDRENFOREPHEMERALS, () -> zk.create("/j/e/x", null, OPEN, CreateMode.PERSISTENT));
        check(zk.exists("/none", false) == null, "exists");
        CountDownLatch synced = new CountDownLatch(1);
        zk.sync("/j", (code, path, context) -> synced.countDown(), null);
        check(synced.await(15, TimeUnit.SECONDS), "sync");
        zk.close();
    }

    static void transactions() throws Exception {
        ZooKeeper zk = connect();
        List<OpResult> results = zk.multi(List.of(Op.create("/m", null, OPEN, CreateMode.PERSISTENT), Op.check("/m", 0),
                Op.setData("/m", bytes("x"), 0), Op.create("/m/a", null, OPEN, CreateMode.PERSISTENT), Op.delete("/m/a", 0)));
        check(((OpResult.SetDataResult) results.get(2)).getStat().getVersion() == 1, "" + results);
        try {
            zk.multi(List.of(Op.create("/m/b", null, OPEN, CreateMode.PERSISTENT), Op.check("/m", 9), Op.delete("/m", -1)));
            throw new AssertionError("not refused");
        } catch (KeeperException e) {
            List<Integer> codes = new ArrayList<>();
            for (OpResult result : e.getResults()) {
                codes.add(((OpResult.ErrorResult) result).getErr());
            }
            check(codes.equals(List.of(0, -103, -2)), "" + codes);
        }
        check(zk.exists("/m/b", false) == null, "nothing is left of it");
        results = zk.multi(List.of(Op.getData("/m"), Op.getChildren("/m"), Op.getData("/none")));
        check(results.get(0) instanceof OpResult.GetDataResult && results.get(1) instanceof OpResult.GetChildrenResult
                && results.get(2) instanceof OpResult.ErrorResult, "" + results);
        zk.close();
    }

    static void watches() throws Exception {
        ZooKeeper zk = connect();
        ZooKeeper other = connect();
        Events events = new Events();
        zk.exists("/w", events);
        other.create("/w", null, OPEN, CreateMode.PERSISTENT);
        events.expect(EventType.NodeCreated, "/w");
        zk.getData("/w", events, null);
        zk.getChildren("/w", events);
        other.setData("/w", bytes("x"), -1);
        events.expect(EventType.NodeDataChanged, "/w");
        other.create("/w/a", null, OPEN, CreateMode.PERSISTENT);
        events.expect(EventType.NodeChildrenChanged, "/w");
        zk.addWatch("/w", events, AddWatchMode.PERSISTENT_RECURSIVE);
        other.setData("/w/a", bytes("x"), -1);
        other.delete("/w/a", -1);
        events.expect(EventType.NodeDataChanged, "/w/a");
        events.expect(EventType.NodeDeleted, "/w/a");
        zk.removeWatches("/w", events, Watcher.WatcherType.Any, false);
        refused(KeeperException.Code.NOWATCHER, () -> zk.removeWatches("/w", events, Watcher.WatcherType.Any, false));
        zk.close();
        other.close();
    }

    static void sessions() throws Exception {
        ZooKeeper owner = connect();
        owner.create("/owned", null, OPEN, CreateMode.EPHEMERAL);
        Events events = new Events();
        ZooKeeper watcher = connect();
        watcher.exists("/owned", events);
        // A second client with the same session takes it over. The first comes back within a second, and takes it over again,
        // and so forth: what either asks may lose its connection meanwhile.
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper twin = new ZooKeeper(address, 10000, event -> connected.countDown(), owner.getSessionId(), owner.getSessionPasswd());
        check(connected.await(15, TimeUnit.SECONDS), "not taken over");
        Stat stat = null;
        for (int tries = 1; stat == null; tries++) {
            try {
                stat = twin.exists("/owned", false);
                check(stat != null, "the node went with the connection");
            } catch (KeeperException.ConnectionLossException taken) {
                // The client connects again by itself, and what is asked meanwhile waits for that.
                check(tries < 20, "the connection is lost each time");
            }
        }
        check(stat.getEphemeralOwner() == owner.getSessionId(), "owner");
        // Whichever has the connection ends the session; if neither has it just then, the session expires.
        twin.close();
        owner.close();
        events.expect(EventType.NodeDeleted, "/owned");
        watcher.close();
    }

    static void access() throws Exception {
        ZooKeeper bob = connect();
        bob.addAuthInfo("digest", bytes("bob:secret"));
        bob.create("/private", bytes("x"), ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        ZooKeeper anyone = connect();
        refused(KeeperException.Code.NOAUTH, () -> anyone.getData("/private", false, null));
        refused(KeeperException.Code.INVALIDACL, () -> anyone.create("/bad", null, ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        check(bob.setACL("/private", Arrays.asList(new ACL(ZooDefs.Perms.READ, new Id("ip", "127.0.0.0/8"))), 0).getAversion() == 1, "aversion");
        check(Arrays.equals(anyone.getData("/private", false, null), bytes("x")), "data");
        check(bob.whoAmI().stream().anyMatch(who -> who.getAuthScheme().equals("digest") && who.getUser().equals("bob")), "" + bob.whoAmI());
        anyone.addAuthInfo("kerberos", bytes("x"));
        refused(KeeperException.Code.AUTHFAILED, () -> anyone.exists("/private", false));
        bob.close();
        anyone.close();
    }

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        nodes();
        transactions();
        watches();
        sessions();
        access();
        System.out.println("java: ok");
        System.exit(0);
    }
}
