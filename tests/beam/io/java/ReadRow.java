import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.beam.model.pipeline.v1.SchemaApi;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaTranslation;
import org.apache.beam.sdk.values.Row;

/** Prints what Beam's Java SDK reads of a row: {@code java -cp … ReadRow.java SCHEMA ROW}. */
public class ReadRow {
  public static void main(String[] files) throws Exception {
    byte[] bytes = Files.readAllBytes(Path.of(files[0]));
    Schema schema = SchemaTranslation.schemaFromProto(SchemaApi.Schema.parseFrom(bytes));
    Row row = RowCoder.of(schema).decode(new ByteArrayInputStream(Files.readAllBytes(Path.of(files[1]))));
    Row mood = row.getRow("mood");
    Row data = mood.getRow("data");
    Object[] read = {
      row.getString("id"), row.getMap("metadata"), mood.getString("status"), mood.getInt64("input_tokens"),
      data.getString("label"), data.getDouble("score"), data.getArray("tags"), data.getMap("by_day"),
      data.<Row>getArray("parts").iterator().next().getInt64("count"), mood.getString("message"),
    };
    for (Object each : read) {
      System.out.println(each);
    }
  }
}
