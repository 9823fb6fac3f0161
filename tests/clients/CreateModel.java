import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;

/** Create models and predict through JDBC, with autocommit on and off. Prints facts as lines. */
public class CreateModel {
    public static void main(String[] arguments) throws SQLException {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            try (Statement statement = connection.createStatement()) {
                int count = statement.executeUpdate(
                    "CREATE OR REPLACE MODEL jdbc_on PREDICT kind FROM flowers"
                    + " WITH (trials = 1, time_limit = '20 s')");
                System.out.println("update count " + count);
                SQLWarning warning = statement.getWarnings();
                System.out.println("has notices " + (warning != null));
            }
            predict(connection, "jdbc_on");
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate(
                    "CREATE OR REPLACE MODEL jdbc_off PREDICT kind FROM flowers"
                    + " WITH (trials = 1, time_limit = '20 s')");
            }
            connection.commit();
            connection.setAutoCommit(true);
            try (Statement statement = connection.createStatement()) {
                statement.execute("CALL sqlml.wait('jdbc_off')");
            }
            predict(connection, "jdbc_off");
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("CREATE MODEL jdbc_on PREDICT kind FROM flowers");
            } catch (SQLException error) {
                System.out.println("error " + error.getSQLState());
            }
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("CREATE MODEL oops FORM flowers");
            } catch (SQLException error) {
                System.out.println("error " + error.getSQLState());
            }
            try (Statement statement = connection.createStatement();
                    ResultSet models = statement.executeQuery("SHOW MODELS")) {
                int rows = 0;
                while (models.next()) {
                    rows += models.getString("model").startsWith("jdbc_") ? 1 : 0;
                }
                System.out.println("models " + rows);
            }
            try (Statement statement = connection.createStatement()) {
                System.out.println("dropped " + statement.executeUpdate("DROP MODEL jdbc_on"));
                System.out.println("dropped " + statement.executeUpdate("DROP MODEL jdbc_off"));
            }
        }
    }

    /** Predict ten times, so that the driver changes to a named statement on the way. */
    private static void predict(Connection connection, String model) throws SQLException {
        int right = 0;
        int all = 0;
        try (PreparedStatement statement = connection.prepareStatement(
                "SELECT predict_" + model + "(f) = kind FROM flowers f WHERE width > ?")) {
            for (int turn = 0; turn < 10; turn++) {
                statement.setDouble(1, -1.0 * turn);
                try (ResultSet rows = statement.executeQuery()) {
                    while (rows.next()) {
                        all++;
                        right += rows.getBoolean(1) ? 1 : 0;
                    }
                }
            }
        }
        System.out.println(model + " rows " + all + " mostly right " + (right > 0.9 * all));
    }
}
