import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import liquibase.Contexts;
import liquibase.Liquibase;
import liquibase.database.DatabaseFactory;
import liquibase.database.jvm.JdbcConnection;
import liquibase.resource.DirectoryResourceAccessor;
import org.flywaydb.core.Flyway;

/**
 * The two migration tools that Java programs carry as libraries, as such a program calls them.
 *
 * <p>java Migrations flyway|liquibase DATABASE FOLDER
 *
 * <p>For each line that it reads ("migrate", "clean") it answers "ok", or "failed: " and why.
 */
public class Migrations {
  static void byFlyway(String step, String database, String folder) {
    var flyway =
        Flyway.configure()
            .dataSource("jdbc:sqlite:" + database, null, null)
            .locations("filesystem:" + folder)
            .baselineOnMigrate(true)
            .baselineVersion("0")
            .cleanDisabled(false)
            .load();
    if (step.equals("clean")) {
      flyway.clean();
    } else {
      flyway.migrate();
    }
  }

  static void byLiquibase(String step, String database, String folder) throws Exception {
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + database)) {
      var target =
          DatabaseFactory.getInstance()
              .findCorrectDatabaseImplementation(new JdbcConnection(connection));
      var files = new DirectoryResourceAccessor(Path.of(folder));
      var liquibase = new Liquibase("changelog.sql", files, target);
      if (step.equals("clean")) {
        liquibase.dropAll();
      } else {
        liquibase.update(new Contexts());
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (var step = lines.readLine(); step != null; step = lines.readLine()) {
      try {
        if (arguments[0].equals("flyway")) {
          byFlyway(step, arguments[1], arguments[2]);
        } else {
          byLiquibase(step, arguments[1], arguments[2]);
        }
        System.out.println("ok");
      } catch (Throwable error) {
        System.out.println("failed: " + String.valueOf(error).replace('\n', ' '));
      }
    }
  }
}
