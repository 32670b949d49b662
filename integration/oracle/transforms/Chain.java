import java.util.Map;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.runtime.ConnectMetrics;
import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.TransformationChain;
import org.apache.kafka.connect.runtime.errors.ErrorHandlingMetrics;
import org.apache.kafka.connect.runtime.errors.ProcessingContext;
import org.apache.kafka.connect.runtime.errors.RetryWithToleranceOperator;
import org.apache.kafka.connect.runtime.errors.ToleranceType;
import org.apache.kafka.connect.runtime.isolation.Plugins;
import org.apache.kafka.connect.runtime.standalone.StandaloneConfig;
import org.apache.kafka.connect.util.ConnectorTaskId;

/** The transformations of a connector's task, made and run by Connect's own runtime; errors are tolerated. */
final class Chain {
    private static final String CONVERTER = "org.apache.kafka.connect.storage.StringConverter";
    private static final Plugins PLUGINS = new Plugins(Map.of());
    private static final ConnectorTaskId TASK = new ConnectorTaskId("c", 0);
    private static final ConnectMetrics METRICS = new ConnectMetrics("w", new StandaloneConfig(Map.of("bootstrap.servers", "none:1",
        "key.converter", CONVERTER, "value.converter", CONVERTER, "offset.storage.file.filename", "none")), Time.SYSTEM, "k");

    private final TransformationChain<Object, ?> chain;

    record Outcome(ConnectRecord<?> record, Throwable error, Class<?> step) {
    }

    Chain(Map<String, String> config) {
        chain = made(new ConnectorConfig(PLUGINS, config));
    }

    private static <R extends ConnectRecord<R>> TransformationChain<Object, R> made(ConnectorConfig config) {
        return new TransformationChain<>(config.<R>transformationStages(PLUGINS, TASK, METRICS),
            new RetryWithToleranceOperator<>(0, 0, ToleranceType.ALL, Time.SYSTEM, new ErrorHandlingMetrics(TASK, METRICS)));
    }

    @SuppressWarnings("unchecked")
    <R extends ConnectRecord<R>> Outcome apply(ConnectRecord<?> record) {
        ProcessingContext<Object> context = new ProcessingContext<>(record);
        ConnectRecord<?> made = ((TransformationChain<Object, R>) chain).apply(context, (R) record);
        return new Outcome(made, context.error(), context.executingClass());
    }
}
