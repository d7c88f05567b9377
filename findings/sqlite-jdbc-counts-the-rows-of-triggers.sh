#!/usr/bin/env bash
# JDBC's executeUpdate answers how many rows a statement changed. In sqlite-jdbc a Statement's answers the
# difference of total_changes(), with the rows that triggers wrote; a PreparedStatement's, for the same SQL,
# answers changes(), without them. An optimistic lock ("updated exactly 1 row?", as Liquibase takes its own)
# fails by the one and works by the other as soon as its table has a trigger that writes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$work"
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>example</groupId><artifactId>finding</artifactId><version>1</version><dependencies>
<dependency><groupId>org.xerial</groupId><artifactId>sqlite-jdbc</artifactId><version>3.50.3.0</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.17</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars
cat >Finding.java <<'JAVA'
import java.sql.DriverManager;

class Finding {
  public static void main(String[] arguments) throws Exception {
    try (var connection = DriverManager.getConnection("jdbc:sqlite::memory:");
        var statement = connection.createStatement()) {
      statement.executeUpdate("create table locks(id integer primary key, held int)");
      statement.executeUpdate("create table log(id integer)");
      statement.executeUpdate(
          "create trigger noted after update on locks begin insert into log values(new.id); end");
      statement.executeUpdate("insert into locks values(1, 0)");
      int plain = statement.executeUpdate("update locks set held = 1 where id = 1 and held = 0");
      int prepared;
      try (var update = connection.prepareStatement("update locks set held = 0 where id = 1")) {
        prepared = update.executeUpdate();
      }
      int changes;
      try (var result = statement.executeQuery("select changes()")) {
        changes = result.getInt(1);
      }
      System.out.println("version:  sqlite-jdbc 3.50.3.0");
      System.out.println("expected: 1 and 1: one row of locks was updated");
      System.out.printf("observed: %d by a Statement, %d by a PreparedStatement; changes() says %d%n", plain, prepared, changes);
      System.exit(plain == 2 && prepared == 1 && changes == 1 ? 0 : 1);
    }
  }
}
JAVA
java -cp 'jars/*' Finding.java
