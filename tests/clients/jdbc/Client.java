import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/**
 * Create models, watch the notices, predict, cancel and roll back through JDBC. Prints a line of
 * JSON for each scenario, its facts as a list of texts.
 */
public class Client {
    private static String url;
    private static String create;
    private static String endless;
    private static String misspelt;

    private interface Scenario {
        void play(Connection connection, List<Object> facts) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        create = arguments[1];
        endless = arguments[2];
        misspelt = arguments[3];
        play("create", "", Client::createAndDrop);
        play("commit", "", Client::commit);
        play("prepared", "", Client::predictOften);
        play("described", "", Client::describe);
        play("portions", "", Client::fetchInPortions);
        play("cancel", "", Client::cancelAtFirstWarning);
        play("timeout", "", Client::timeOut);
        play("error", "", Client::fail);
        play("batch", "", Client::batch);
        for (String mode : new String[] {"extended", "simple", "extendedForPrepared"}) {
            String options = "&preferQueryMode=" + mode;
            play("rollBack " + mode, options, Client::rollBack);
            play("autosave " + mode, options + "&autosave=always", Client::goOnAfterError);
        }
    }

    private static void play(String name, String options, Scenario scenario) throws SQLException {
        List<Object> facts = new ArrayList<>();
        try (Connection connection = DriverManager.getConnection(url + options)) {
            scenario.play(connection, facts);
        } catch (Exception error) {
            facts.add(error);
        }
        List<String> texts = new ArrayList<>();
        for (Object fact : facts) {
            texts.add(quote(String.valueOf(fact)));
        }
        String line = "{\"scenario\": " + quote(name) + ", \"facts\": [" + String.join(", ", texts);
        System.out.println(line + "]}");
    }

    private static String quote(String text) {
        String escaped = text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
        return "\"" + escaped + "\"";
    }

    private static void createAndDrop(Connection connection, List<Object> facts) throws Exception {
        try (Statement statement = connection.createStatement()) {
            facts.add(statement.executeUpdate(create));
            facts.add(statement.getWarnings().getMessage());
            facts.add(count(connection, "SELECT count(*) FROM flowers f WHERE kind = predict_jdbc(f)"));
            facts.add(statement.executeUpdate("DROP MODEL jdbc"));
        }
    }

    /** BEGIN and our statement arrive in one packet, with one Sync behind both. */
    private static void commit(Connection connection, List<Object> facts) throws Exception {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            facts.add(statement.executeUpdate(create));
            facts.add(statement.getWarnings().getMessage());
            connection.commit();
            connection.setAutoCommit(true);
            facts.add(hasModel(connection, "jdbc"));
            facts.add(statement.executeUpdate("DROP MODEL jdbc"));
        }
    }

    private static void rollBack(Connection connection, List<Object> facts) throws Exception {
        String text = create.replace("MODEL jdbc ", "MODEL jdbc_rolled_back ");
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate(text);
            facts.add(statement.getWarnings().getMessage());
            facts.add(hasModel(connection, "jdbc_rolled_back"));
            connection.rollback();
            statement.execute("SELECT 1; " + text);
            connection.rollback();
            facts.add(hasModel(connection, "jdbc_rolled_back"));
        }
    }

    /** The driver changes to a named statement on the way, and describes it no longer. */
    private static void predictOften(Connection connection, List<Object> facts) throws Exception {
        try (PreparedStatement predict = connection.prepareStatement(
                    "SELECT count(*) FROM flowers f WHERE predict_flower(f) = kind AND width > ?");
                PreparedStatement show = connection.prepareStatement("DESCRIBE MODEL flower")) {
            for (int turn = 0; turn < 10; turn++) {
                predict.setDouble(1, 1.0);
                try (ResultSet rows = predict.executeQuery(); ResultSet shown = show.executeQuery()) {
                    rows.next();
                    shown.next();
                    facts.add(rows.getInt(1) + " " + shown.getString("column") + " "
                        + shown.getLong("distinct_count"));
                }
            }
        }
    }

    private static void describe(Connection connection, List<Object> facts) throws Exception {
        try (PreparedStatement show = connection.prepareStatement("SHOW MODELS");
                PreparedStatement make = connection.prepareStatement(create)) {
            facts.add(show.getMetaData().getColumnName(2));
            facts.add(make.getMetaData());
            facts.add(hasModel(connection, "jdbc"));
        }
    }

    /** Named portals, some rows at a time. */
    private static void fetchInPortions(Connection connection, List<Object> facts) throws Exception {
        connection.setAutoCommit(false);
        for (String text : new String[] {
                "SELECT predict_flower(f) = kind FROM flowers f", "DESCRIBE MODEL flower"}) {
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(2);
                try (ResultSet rows = statement.executeQuery(text)) {
                    int count = 0;
                    while (rows.next()) {
                        count++;
                    }
                    facts.add(count);
                }
            }
        }
        connection.rollback();
    }

    /** A warning is there while the training still runs, and a cancel request ends it. */
    private static void cancelAtFirstWarning(Connection connection, List<Object> facts)
            throws Exception {
        try (Statement statement = connection.createStatement()) {
            Thread canceller = new Thread(() -> {
                try {
                    SQLWarning warning = statement.getWarnings();
                    while (warning == null) {
                        Thread.sleep(20);
                        warning = statement.getWarnings();
                    }
                    facts.add(warning.getMessage());
                    statement.cancel();
                } catch (SQLException | InterruptedException error) {
                    facts.add(error);
                }
            });
            canceller.start();
            try {
                statement.executeUpdate(endless);
            } catch (SQLException error) {
                canceller.join();
                facts.add(error.getSQLState());
            }
        }
        facts.add(count(connection, "SELECT 1"));
    }

    private static void timeOut(Connection connection, List<Object> facts) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            statement.executeUpdate(endless.replace("jdbc_endless", "jdbc_late"));
        } catch (SQLException error) {
            facts.add(error.getSQLState());
        }
        facts.add(count(connection, "SELECT 1"));
    }

    private static void fail(Connection connection, List<Object> facts) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate(misspelt);
        } catch (PSQLException error) {
            ServerErrorMessage message = error.getServerErrorMessage();
            facts.add(error.getSQLState());
            facts.add(message.getPosition());
            facts.add(message.getHint());
        }
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate(create.replace("MODEL jdbc ", "MODEL flower "));
        } catch (SQLException error) {
            facts.add(error.getSQLState());
        }
        facts.add(count(connection, "SELECT 1"));
    }

    /** Several statements before one Sync; the last one fails, and none has happened. */
    private static void batch(Connection connection, List<Object> facts) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.addBatch("CREATE TEMPORARY TABLE model (predict int)");
            statement.addBatch(create.replace("MODEL jdbc ", "MODEL jdbc_batch "));
            statement.addBatch("INSERT INTO model VALUES (1 / 0)");
            statement.executeBatch();
        } catch (SQLException error) {
            facts.add(error.getSQLState());
        }
        facts.add(hasModel(connection, "jdbc_batch"));
    }

    /** With autosave the driver sets a savepoint before each statement. */
    private static void goOnAfterError(Connection connection, List<Object> facts) throws Exception {
        String text = create.replace("MODEL jdbc ", "MODEL jdbc_autosave ");
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate(text);
            for (String wrong : new String[] {text, misspelt}) {
                try {
                    statement.executeUpdate(wrong);
                } catch (SQLException error) {
                    facts.add(error.getSQLState());
                }
            }
            facts.add(hasModel(connection, "jdbc_autosave"));
            connection.rollback();
            facts.add(hasModel(connection, "jdbc_autosave"));
        }
    }

    private static boolean hasModel(Connection connection, String model) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SHOW MODELS")) {
            boolean isThere = false;
            while (rows.next()) {
                isThere |= rows.getString("model").equals(model);
            }
            return isThere;
        }
    }

    private static int count(Connection connection, String query) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(query)) {
            rows.next();
            return rows.getInt(1);
        }
    }
}
